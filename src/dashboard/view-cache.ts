/** The cache: its tiers, how often each has what is asked for, and purging. */
import { confirmed } from './dialogs.ts'
import { badge, el, panel, setText } from './dom.ts'
import { bytes, count, percent, rate } from './format.ts'
import { breakerKind, breakerWord } from './states.ts'
import type { Store } from './store.ts'
import { DataTable } from './table.ts'
import type { Acting, View } from './view.ts'

interface TierRow {
  readonly name: string
  readonly state: string
  readonly about: string
  readonly lookups: number
  readonly hitRatio: number | undefined
  readonly kept: string
  readonly keptBytes: number
  readonly stored: number
  readonly lost: number
  readonly queued: string
}

const WHAT = ['model', 'version of a model', 'route', 'tag', 'key', 'everything'] as const

export class CacheView implements View {
  readonly id = 'cache'
  readonly title = 'Cache'
  readonly element: HTMLElement
  readonly #acting: Acting
  readonly #note = el('p', { class: 'note' })
  readonly #tiers = new DataTable<TierRow>({
    label: 'Tiers',
    key: ({ name }) => name,
    empty: 'This gateway keeps nothing: its settings have no cache tier.',
    columns: [
      { title: 'Tier', show: ({ name }) => name, sortBy: ({ name }) => name, kind: () => 'name' },
      {
        title: 'State',
        hint: 'Of look-ups; in use, or why not',
        make: ({ state }) => badge(breakerWord(state), breakerKind(state)),
        sortBy: ({ state }) => state,
        about: ({ about }) => about,
      },
      {
        title: 'Look-ups/s',
        isNumber: true,
        show: ({ lookups }) => rate(lookups),
        sortBy: ({ lookups }) => lookups,
      },
      {
        title: 'Hit ratio',
        hint: 'Of the look-ups since the start',
        isNumber: true,
        show: ({ hitRatio }) => percent(hitRatio),
        sortBy: ({ hitRatio }) => hitRatio ?? -1,
      },
      { title: 'Kept', isNumber: true, show: ({ kept }) => kept, sortBy: ({ keptBytes }) => keptBytes },
      {
        title: 'Stored',
        isNumber: true,
        show: ({ stored }) => count(stored),
        sortBy: ({ stored }) => stored,
      },
      {
        title: 'Lost',
        hint: 'Evicted from memory; failed, dropped or garbled in a shared tier',
        isNumber: true,
        show: ({ lost }) => count(lost),
        sortBy: ({ lost }) => lost,
      },
      {
        title: 'To write',
        isNumber: true,
        isExtra: true,
        show: ({ queued }) => queued,
        sortBy: ({ queued }) => queued,
      },
      {
        title: 'Trouble',
        isExtra: true,
        show: ({ about }) => about,
        sortBy: ({ about }) => about,
        kind: () => 'why',
      },
    ],
  })
  readonly #what = el(
    'select',
    { id: 'purge-what' },
    ...WHAT.map((what) => el('option', { value: what, text: what })),
  )
  readonly #name = el('input', { id: 'purge-name', autocomplete: 'off', spellcheck: 'false' })
  readonly #version = el('input', { id: 'purge-version', autocomplete: 'off', spellcheck: 'false' })
  readonly #versionField = el('label', { for: 'purge-version' }, 'Version', this.#version)
  readonly #nameField = el('label', { for: 'purge-name' }, 'Name', this.#name)
  readonly #button = el('button', { type: 'submit', class: 'danger', text: 'Purge' })

  constructor(acting: Acting) {
    this.#acting = acting
    const form = el(
      'form',
      { class: 'fields' },
      el('label', { for: 'purge-what' }, 'What', this.#what),
      this.#nameField,
      this.#versionField,
      this.#button,
    )
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      void this.#purge()
    })
    this.#what.addEventListener('change', () => this.#adapt())
    this.#adapt()
    this.element = el(
      'div',
      {},
      panel('Tiers', this.#note, this.#tiers.element),
      panel(
        'Purge',
        el('p', {
          class: 'note',
          text: 'Makes answers unreachable at once, in all gateways that share a tier. It cannot be taken back.',
        }),
        form,
      ),
    )
  }

  render(store: Store): void {
    const { cache } = store
    const mayNot = store.allows('purge') ? '' : 'the token lacks the scope purge'
    this.#button.disabled = mayNot !== ''
    this.#button.title = mayNot
    setText(
      this.#note,
      cache
        ? `${count(cache.flights)} loads under way · ${count(cache.unstorable)} answers were too large to keep · a repeat of the same bytes is answered before any look-up`
        : 'Nothing is known yet.',
    )
    this.#tiers.set(rowsOf(store))
  }

  #adapt(): void {
    const what = this.#what.value
    this.#nameField.hidden = what === 'everything'
    this.#versionField.hidden = what !== 'version of a model'
    this.#name.required = what !== 'everything'
    this.#version.required = what === 'version of a model'
  }

  async #purge(): Promise<void> {
    const what = this.#what.value
    const name = this.#name.value.trim()
    const bodies: Readonly<Record<string, object>> = {
      model: { model: name },
      'version of a model': { model: name, version: this.#version.value.trim() },
      route: { route: name },
      tag: { tags: [name] },
      key: { key: name },
      everything: { all: true },
    }
    const named = what === 'everything' ? 'everything' : `${what} ${name}`
    if (!(await confirmed(`Purge ${named}?`, 'Purge'))) return
    const { connection, act } = this.#acting
    await act(`purge of ${named}`, async () => {
      const answer = await connection.ask('POST', '/api/v1/cache/purge', bodies[what])
      const { unknown = [], shared } = answer as { unknown?: readonly string[]; shared?: boolean }
      const notes = [
        ...(unknown.length > 0 ? [`nothing here is known as ${unknown.join(', ')}`] : []),
        ...(shared === false ? ['the shared tier will be told as soon as it can be'] : []),
      ]
      return notes.join('; ')
    })
  }
}

function rowsOf(store: Store): readonly TierRow[] {
  const { memory, tiers = [] } = store.cache ?? {}
  const ratio = (hits: number, misses: number) => (hits + misses > 0 ? hits / (hits + misses) : undefined)
  const lookups = (name: string) => store.perSecond(`${name} hits`) + store.perSecond(`${name} misses`)
  const own = memory && {
    name: 'memory',
    state: 'closed',
    about: '',
    lookups: lookups('memory'),
    hitRatio: ratio(memory.hits, memory.misses),
    kept: `${bytes(memory.bytes)} in ${count(memory.entries)}`,
    keptBytes: memory.bytes,
    stored: memory.admitted,
    lost: memory.evictions,
    queued: '',
  }
  const shared = tiers.map((tier) => ({
    name: tier.name,
    state: tier.state,
    about: [tier.trouble ?? '', tier.writes === 'closed' ? '' : `writes: ${breakerWord(tier.writes)}`]
      .filter(Boolean)
      .join('; '),
    lookups: lookups(`tier ${tier.name}`),
    hitRatio: ratio(tier.hits, tier.misses),
    kept: '',
    keptBytes: -1,
    stored: tier.stored,
    lost: tier.failed + tier.dropped + tier.garbled,
    queued: tier.queued > 0 ? `${count(tier.queued)}, ${bytes(tier.queuedBytes)}` : '0',
  }))
  return [...(own ? [own] : []), ...shared]
}
