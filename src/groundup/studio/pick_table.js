// A table whose rows can be picked: the first cell of each is a button, one cell may be a bar. Everything is put on the page as text.
export default {
  template: `
    <div class="st-scroll st-tall" tabindex="0" role="region" :aria-label="label">
      <table class="st-table">
        <thead><tr><th v-for="column in columns" scope="col" :class="{ 'st-num': column.number }">{{ column.name }}</th></tr></thead>
        <tbody>
          <tr v-for="(row, i) in rows" :key="i">
            <template v-for="(cell, j) in row.cells">
              <td v-if="columns[j].bar" class="st-bar-cell" aria-hidden="true"
                ><div class="st-fill" :class="row.bar < 0 ? 'st-down' : 'st-up'" :style="{ width: 100 * Math.abs(row.bar) + '%' }"
                  v-if="row.bar !== 0"></div></td>
              <td v-else :class="{ 'st-num': columns[j].number }"
                ><button v-if="j === 0" type="button" class="st-pick" :aria-label="row.label" @click="$emit('pick', i)">{{ cell }}</button
                ><template v-else>{{ cell }}</template></td>
            </template>
          </tr>
        </tbody>
      </table>
    </div>
  `,
  props: { columns: Array, rows: Array, label: String },
};
