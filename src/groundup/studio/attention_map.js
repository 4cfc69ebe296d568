// What every token (row) takes from every token before it (column): a map to point at, or to walk with the arrow keys.
export default {
  template: `
    <div class="st-map-box">
      <div class="st-scroll" ref="box"><canvas ref="canvas" class="st-map-canvas" tabindex="0" role="img" :aria-label="label"
        @mousemove="point" @mouseleave="leave" @keydown="key" @focus="focus" @blur="leave"></canvas></div>
      <div class="st-readout" aria-live="polite">{{ told }}</div>
    </div>
  `,
  props: { weights: String, tokens: Array, label: String, group: String },
  data() {
    return { row: -1, column: -1 };
  },
  computed: {
    values() {
      return Uint8Array.from(atob(this.weights || ""), (c) => c.charCodeAt(0));
    },
    told() {
      const name = (i) => "“" + this.tokens[i].trimEnd() + "”";
      if (this.row < 0 || !this.tokens[this.row]) return "Rows look, columns are looked at. Point at the map, or Tab to it and use the arrow keys.";
      if (this.column < 0) return name(this.row) + " looks at the shaded tokens.";
      if (this.column > this.row) return name(this.row) + " cannot see " + name(this.column) + ", which comes later.";
      const share = (this.values[this.row * this.tokens.length + this.column] / 2.55).toFixed(1);
      return name(this.row) + " (" + (this.row + 1) + ") takes " + share + " % from " + name(this.column) + " (" + (this.column + 1) + ")";
    },
  },
  watch: {
    weights() {
      this.row = Math.min(this.row, this.tokens.length - 1);
      this.$nextTick(this.draw);
    },
    row() {
      this.draw();
    },
    column() {
      this.draw();
    },
  },
  mounted() {
    this.linked = (event) => {
      if (event.detail.group !== this.group || event.detail.from === this) return;
      this.row = event.detail.index;
      this.column = -1;
    };
    addEventListener("st-token", this.linked);
    this.sized = new ResizeObserver(() => this.draw());
    this.sized.observe(this.$refs.box);
    this.themed = new MutationObserver(() => this.draw());
    this.themed.observe(document.body, { attributes: true, attributeFilter: ["class"] });
    this.draw();
  },
  unmounted() {
    removeEventListener("st-token", this.linked);
    this.sized.disconnect();
    this.themed.disconnect();
  },
  methods: {
    draw() {
      const canvas = this.$refs.canvas;
      const size = this.tokens.length;
      if (!canvas || !size) return;
      const style = getComputedStyle(document.body);
      const ink = style.getPropertyValue("--ink");
      const soft = style.getPropertyValue("--soft");
      const line = style.getPropertyValue("--line");
      const heat = style.getPropertyValue("--st-heat").trim().split(/\s+/).join(",");
      const width = this.$refs.box.clientWidth;
      const font = "11px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace";
      const context = canvas.getContext("2d");
      context.font = font;
      const names = this.tokens.map((t) => (t.trimEnd().length > 10 ? t.slice(0, 9) + "…" : t.trimEnd()));
      const longest = Math.max(...names.map((n) => context.measureText(n).width));
      const room = Math.floor((width - longest - 8) / size);
      const labels = room >= 11;
      const margin = labels ? Math.ceil(longest) + 8 : 1;
      const cell = Math.max(3, Math.min(24, labels ? room : Math.floor((width - 2) / size)));
      this.cell = cell;
      this.margin = margin;
      const side = margin + cell * size + 1;
      const scale = devicePixelRatio || 1;
      canvas.width = side * scale;
      canvas.height = side * scale;
      canvas.style.width = canvas.style.height = side + "px";
      context.setTransform(scale, 0, 0, scale, 0, 0);
      context.clearRect(0, 0, side, side);
      context.font = font;
      for (let t = 0; t < size; t++)
        for (let s = 0; s <= t; s++) {
          context.fillStyle = `rgba(${heat},${Math.sqrt(this.values[t * size + s] / 255)})`;
          context.fillRect(margin + s * cell, margin + t * cell, cell - (cell > 6 ? 1 : 0), cell - (cell > 6 ? 1 : 0));
        }
      context.strokeStyle = line;
      context.strokeRect(margin - 0.5, margin - 0.5, cell * size + 1, cell * size + 1);
      if (labels) {
        context.textBaseline = "middle";
        for (let i = 0; i < size; i++) {
          context.fillStyle = i === this.row ? ink : soft;
          context.textAlign = "right";
          context.fillText(names[i], margin - 5, margin + (i + 0.5) * cell);
          context.fillStyle = i === this.column ? ink : soft;
          context.save();
          context.translate(margin + (i + 0.5) * cell, margin - 5);
          context.rotate(-Math.PI / 2);
          context.textAlign = "left";
          context.fillText(names[i], 0, 0);
          context.restore();
        }
      }
      if (this.row >= 0) {
        context.strokeStyle = ink;
        context.strokeRect(margin - 0.5, margin + this.row * cell - 0.5, cell * (this.row + 1), cell);
        if (this.column >= 0) {
          context.lineWidth = 2;
          context.strokeRect(margin + this.column * cell, margin + this.row * cell, cell - 1, cell - 1);
          context.lineWidth = 1;
        }
      }
    },
    at(row, column) {
      const last = this.tokens.length - 1;
      this.row = Math.max(0, Math.min(last, row));
      this.column = Math.max(0, Math.min(last, column));
      this.tell(this.row);
    },
    tell(index) {
      dispatchEvent(new CustomEvent("st-token", { detail: { group: this.group, index, from: this } }));
    },
    point(event) {
      const box = this.$refs.canvas.getBoundingClientRect();
      const column = Math.floor((event.clientX - box.left - this.margin) / this.cell);
      const row = Math.floor((event.clientY - box.top - this.margin) / this.cell);
      if (row < 0 || column < 0) return this.leave();
      this.at(row, column);
    },
    focus() {
      const last = this.tokens.length - 1;
      if (this.row < 0) this.at(last, last);
    },
    leave() {
      this.row = this.column = -1;
      this.tell(-1);
    },
    key(event) {
      const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
      const move = moves[event.key];
      if (!move) return;
      event.preventDefault();
      this.at(this.row + move[0], Math.max(0, this.column) + move[1]);
    },
  },
};
