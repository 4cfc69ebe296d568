// A text as its tokens: one stop of the Tab key, arrows move inside, Enter picks. Everything is put on the page as text.
// With `weights` (rows of T bytes, base64) pointing at a token shades the others by its row, the most of it
// deepest.
export default {
  template: `
    <div class="st-strip-box">
      <div class="st-strip" role="listbox" :aria-label="label" ref="strip" @mouseleave="leave" @keydown="key">
        <span v-for="(piece, i) in pieces" :key="i" role="option" :tabindex="i === at ? 0 : -1" :aria-selected="i === chosen"
          :aria-label="piece.n ? piece.t + ', ' + piece.n : piece.t" class="st-piece"
          :class="[piece.k || '', { 'st-on': i === active, 'st-chosen': i === chosen }]" :style="shade(i)"
          @mouseenter="enter(i)" @focus="focused(i)" @blur="leave" @click="pick(i)">{{ piece.t }}</span>
      </div>
      <div class="st-readout" aria-live="polite"><template v-if="active >= 0 && pieces[active]"
        ><b class="st-readout-piece">{{ pieces[active].t.trimEnd() }}</b> {{ pieces[active].n }}</template
        ><template v-else>{{ hint }}</template></div>
    </div>
  `,
  props: { pieces: Array, label: String, hint: String, chosen: Number, weights: String, group: String },
  data() {
    return { at: 0, active: -1 };
  },
  computed: {
    rows() {
      return this.weights ? Uint8Array.from(atob(this.weights), (c) => c.charCodeAt(0)) : null;
    },
    most() {
      const size = this.pieces.length;
      return this.rows && this.active >= 0 ? Math.max(1, ...this.rows.subarray(this.active * size, (this.active + 1) * size)) : 1;
    },
  },
  watch: {
    pieces() {
      this.at = Math.min(this.at, Math.max(0, this.pieces.length - 1));
      this.active = -1;
    },
  },
  mounted() {
    this.linked = (event) => {
      if (this.group && event.detail.group === this.group && event.detail.from !== this) this.active = event.detail.index;
    };
    addEventListener("st-token", this.linked);
  },
  unmounted() {
    removeEventListener("st-token", this.linked);
  },
  methods: {
    shade(i) {
      const piece = this.pieces[i];
      if (this.rows && this.active >= 0) {
        const weight = this.rows[this.active * this.pieces.length + i] / this.most;
        return { background: `rgb(var(--st-heat) / calc(var(--st-strong) * ${Math.sqrt(weight).toFixed(3)}))` };
      }
      return piece.c ? { background: piece.c } : {};
    },
    tell(index) {
      if (this.group)
        dispatchEvent(new CustomEvent("st-token", { detail: { group: this.group, index, from: this } }));
    },
    enter(i) {
      this.active = i;
      this.tell(i);
    },
    focused(i) {
      this.at = i;
      this.enter(i);
    },
    leave() {
      this.active = -1;
      this.tell(-1);
    },
    pick(i) {
      this.at = i;
      this.$emit("pick", i);
    },
    key(event) {
      const last = this.pieces.length - 1;
      const steps = { ArrowRight: this.at + 1, ArrowDown: this.at + 1, ArrowLeft: this.at - 1, ArrowUp: this.at - 1, Home: 0, End: last };
      if (event.key in steps) {
        event.preventDefault();
        this.at = Math.max(0, Math.min(last, steps[event.key]));
        this.$refs.strip.children[this.at]?.focus();
      } else if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        this.pick(this.at);
      }
    },
  },
};
