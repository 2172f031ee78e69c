/** Explains a call: what the gateway would do with it, without sending it. */
import { el, panel } from './dom.ts'
import { age, count } from './format.ts'
import type { ShownExplanation } from './shown.ts'
import { DataTable } from './table.ts'
import type { Acting, View } from './view.ts'

const METHODS = ['POST', 'GET', 'PUT', 'DELETE', 'PATCH', 'HEAD']

export class ExplainView implements View {
  readonly id = 'explain'
  readonly title = 'Explain'
  readonly element: HTMLElement
  readonly filter: HTMLElement
  readonly #acting: Acting
  readonly #method = el('select', { id: 'explain-method' }, ...METHODS.map((text) => el('option', { text })))
  readonly #path = el('input', {
    id: 'explain-path',
    required: true,
    placeholder: '/v1/models/NAME:predict',
    autocomplete: 'off',
    spellcheck: 'false',
  })
  readonly #headers = el('textarea', {
    id: 'explain-headers',
    rows: '2',
    placeholder: 'content-type: application/json',
    spellcheck: 'false',
  })
  readonly #body = el('textarea', {
    id: 'explain-body',
    rows: '7',
    placeholder: '{"instances": [[5.1, 3.5, 1.4, 0.2]]}',
    spellcheck: 'false',
  })
  readonly #answer = el('div', { 'aria-live': 'polite' })

  constructor(acting: Acting) {
    this.#acting = acting
    this.filter = this.#path
    const form = el(
      'form',
      { class: 'fields tall' },
      el('label', { for: 'explain-method' }, 'Method', this.#method),
      el('label', { for: 'explain-path', class: 'wide' }, 'Path with its query', this.#path),
      el('label', { for: 'explain-headers', class: 'whole' }, 'Header fields, one a line', this.#headers),
      el('label', { for: 'explain-body', class: 'whole' }, 'Body', this.#body),
      el('button', { type: 'submit', class: 'primary', text: 'Explain' }),
    )
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      void this.#explain()
    })
    this.element = el(
      'div',
      {},
      panel(
        'Explain a call',
        el('p', {
          class: 'note',
          text: 'Nothing is sent to a backend, and nothing is stored. Credentials and the content type are in the key: give those of the client.',
        }),
        form,
      ),
      this.#answer,
    )
  }

  render(): void {}

  async #explain(): Promise<void> {
    const headers = Object.fromEntries(
      this.#headers.value.split('\n').flatMap((line) => {
        const [, name, value] = /^\s*([^\s:]+):\s*(.*?)\s*$/.exec(line) ?? []
        return name === undefined || value === undefined ? [] : [[name.toLowerCase(), value]]
      }),
    )
    const body = this.#body.value
    const asked = {
      method: this.#method.value,
      path: this.#path.value.trim(),
      headers: { ...(body === '' ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === '' ? {} : { body }),
    }
    try {
      const answer = await this.#acting.connection.ask('POST', '/api/v1/cache/explain', asked)
      this.#answer.replaceChildren(explained(answer as ShownExplanation))
    } catch (error) {
      this.#answer.replaceChildren(
        panel('Not explained', el('p', { class: 'why', text: (error as Error).message })),
      )
    }
  }
}

function explained(answer: ShownExplanation): HTMLElement {
  const {
    route,
    pool,
    protocol,
    verb,
    model,
    version,
    cacheable,
    reason,
    key,
    rows,
    rowCount = 0,
    kept,
  } = answer
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['Route', `${route}, to pool ${pool}`],
    ['Dialect', `${protocol}: ${verb}`],
    [
      'Model',
      model === undefined ? undefined : version === undefined ? model : `${model}, version ${version}`,
    ],
    ['Key', key],
    [
      'Rows',
      rows &&
        `${count(rowCount)}, of which ${rows.filter(({ tier }) => tier !== undefined).length} of the first ${rows.length} are kept`,
    ],
    [
      'Kept',
      cacheable && !rows
        ? kept
          ? `in ${kept.tier}, ${age(kept.ageMs)} old, fresh for ${age(kept.ttlMs)}`
          : 'nowhere'
        : undefined,
    ],
  ]
  const list = facts.flatMap(([name, text]) =>
    text === undefined
      ? []
      : [el('dt', { text: name }), el('dd', { class: name === 'Key' ? 'code' : '', text })],
  )
  const verdict = cacheable ? 'Cacheable' : `Not cacheable: ${reason ?? ''}`
  const result = panel(verdict, el('dl', { class: 'facts' }, ...list))
  result.classList.add(cacheable ? 'good' : 'busy')
  if (rows && rows.length > 0) result.append(rowTable(rows))
  return result
}

function rowTable(rows: readonly { readonly key: string; readonly tier?: string }[]): HTMLElement {
  const table = new DataTable<{ at: number; key: string; tier?: string }>({
    label: 'Rows',
    key: ({ at }) => String(at),
    empty: '',
    columns: [
      { title: 'Row', isNumber: true, show: ({ at }) => String(at), sortBy: ({ at }) => at },
      { title: 'Kept in', show: ({ tier }) => tier ?? '–', sortBy: ({ tier }) => tier ?? '' },
      { title: 'Key', show: ({ key }) => key, sortBy: ({ key }) => key, kind: () => 'code' },
    ],
  })
  table.set(rows.map((row, at) => ({ at, ...row })))
  return table.element
}
