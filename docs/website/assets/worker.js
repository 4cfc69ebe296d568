// Search runs in a Worker, which browsers refuse to a page that was opened as a file. There, a hidden frame takes its place.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(address) {
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.answer = (data) => {
        const copy = structuredClone(data); // as between a page and a Worker: neither may change what the other holds
        setTimeout(() => this.onmessage?.({ data: copy }));
      };
      this.frame.onload = () => {
        const held = this.waiting;
        this.waiting = null;
        held.forEach((data) => this.postMessage(data));
      };
      this.frame.srcdoc =
        "<script>window.postMessage = (data) => frameElement.answer(data)</" +
        `script><script src="${address}"></` +
        "script>";
      document.documentElement.append(this.frame);
    }

    postMessage(data) {
      if (this.waiting) this.waiting.push(data);
      else this.frame.contentWindow.onmessage({ data: structuredClone(data) });
    }

    terminate() {
      this.frame.remove();
    }
  };
}
