// What may come next: a button a token, its probability before (outline) and after the settings (solid). Arrows move, Enter picks.
export default {
  template: `
    <div class="st-choices" role="group" :aria-label="label" ref="rows" @keydown="key">
      <button v-for="(row, i) in rows" :key="i" type="button" class="st-choice-row" :class="{ 'st-cut': row.cut }"
        :aria-label="row.n" :title="row.n" @click="$emit('pick', i)">
        <span class="st-choice-token">{{ row.t.trimEnd() }}</span>
        <span class="st-choice-track"><span class="st-choice-before" :style="{ width: wide(row.p) }"></span
          ><span class="st-choice-after" :style="{ width: wide(row.q) }"></span></span>
        <span class="st-choice-number">{{ row.f }}</span>
        <span class="st-choice-how">{{ row.cut }}</span>
      </button>
    </div>
  `,
  props: { rows: Array, label: String },
  computed: {
    most() {
      return Math.max(1e-9, ...this.rows.map((row) => Math.max(row.p, row.q)));
    },
  },
  methods: {
    wide(share) {
      return (100 * share) / this.most + "%";
    },
    key(event) {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const all = [...this.$refs.rows.children];
      all[Math.max(0, Math.min(all.length - 1, all.indexOf(document.activeElement) + step))]?.focus();
    },
  },
};
