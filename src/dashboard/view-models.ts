/** Models: how they are called, where they are, and what is deployed. */
import { el, panel } from './dom.ts'
import { count, percent, rate } from './format.ts'
import { hitRatioOf, savedRows, totalOf } from './shown.ts'
import type { Store } from './store.ts'
import { DataTable } from './table.ts'
import type { View } from './view.ts'

interface ModelRow {
  readonly model: string
  readonly where: string
  readonly versions: string
  readonly perSecond: number
  readonly calls: number
  readonly hitRatio: number | undefined
  readonly saved: number
  readonly savedPerSecond: number
}

interface DeploymentRow {
  readonly pool: string
  readonly model: string
  readonly versions: string
  readonly backends: string
  readonly token: string
  readonly shared: string
}

export class ModelsView implements View {
  readonly id = 'models'
  readonly title = 'Models'
  readonly element: HTMLElement
  readonly filter = el('input', {
    type: 'search',
    placeholder: 'Filter by model or pool',
    'aria-label': 'Filter models',
  })
  readonly #models = new DataTable<ModelRow>({
    label: 'Models',
    key: ({ model }) => model,
    empty: 'No backend has told of a model, and no call has named one.',
    sort: { column: 3, isDescending: true },
    columns: [
      { title: 'Model', show: ({ model }) => model, sortBy: ({ model }) => model, kind: () => 'name' },
      { title: 'Pools', isExtra: true, show: ({ where }) => where, sortBy: ({ where }) => where },
      { title: 'Versions', show: ({ versions }) => versions, sortBy: ({ versions }) => versions },
      {
        title: 'Calls/s',
        isNumber: true,
        show: ({ perSecond }) => rate(perSecond),
        sortBy: ({ perSecond }) => perSecond,
      },
      {
        title: 'Calls',
        hint: 'Since the start',
        isNumber: true,
        show: ({ calls }) => count(calls),
        sortBy: ({ calls }) => calls,
      },
      {
        title: 'Hit ratio',
        hint: 'Calls since the start that needed no backend',
        isNumber: true,
        show: ({ hitRatio }) => percent(hitRatio),
        sortBy: ({ hitRatio }) => hitRatio ?? -1,
      },
      {
        title: 'Rows saved',
        hint: 'Since the start, of models that are answered row by row',
        isNumber: true,
        show: ({ saved }) => count(saved),
        sortBy: ({ saved }) => saved,
      },
      {
        title: 'Saved/s',
        isNumber: true,
        isExtra: true,
        show: ({ savedPerSecond }) => rate(savedPerSecond),
        sortBy: ({ savedPerSecond }) => savedPerSecond,
      },
    ],
  })
  readonly #deployments = new DataTable<DeploymentRow>({
    label: 'Deployments',
    key: ({ pool, model }) => `${pool} ${model}`,
    empty: 'Nothing is deployed, and no call has come.',
    sort: { column: 1, isDescending: false },
    columns: [
      { title: 'Pool', show: ({ pool }) => pool, sortBy: ({ pool }) => pool },
      { title: 'Model', show: ({ model }) => model, sortBy: ({ model }) => model, kind: () => 'name' },
      {
        title: 'May answer',
        hint: 'The versions that may answer',
        show: ({ versions }) => versions,
        sortBy: ({ versions }) => versions,
      },
      {
        title: 'Backends',
        hint: 'How many have which version',
        show: ({ backends }) => backends,
        sortBy: ({ backends }) => backends,
      },
      { title: 'Known to', isExtra: true, show: ({ shared }) => shared, sortBy: ({ shared }) => shared },
      {
        title: 'Token',
        hint: 'Part of every key: a new deployment has a new one',
        isExtra: true,
        show: ({ token }) => token,
        sortBy: ({ token }) => token,
        kind: () => 'code',
      },
    ],
  })

  constructor({ store }: { readonly store: Store }) {
    this.filter.addEventListener('input', () => this.render(store))
    this.element = el(
      'div',
      {},
      el('div', { class: 'tools' }, this.filter),
      panel('Models', this.#models.element),
      panel('Deployments', this.#deployments.element),
    )
  }

  render(store: Store): void {
    const wanted = this.filter.value.trim().toLowerCase()
    const matches = (...texts: readonly string[]) => texts.join(' ').toLowerCase().includes(wanted)
    this.#models.set(modelRows(store).filter(({ model, where }) => matches(model, where)))
    this.#deployments.set(deploymentRows(store).filter(({ model, pool }) => matches(model, pool)))
  }
}

function modelRows(store: Store): readonly ModelRow[] {
  const offers = new Map<string, { readonly pools: Set<string>; readonly versions: Set<string> }>()
  for (const { pool, backends } of store.pools.values())
    for (const { name, version } of backends.flatMap(({ models }) => models)) {
      const offer = offers.get(name) ?? { pools: new Set(), versions: new Set() }
      offers.set(name, offer)
      offer.pools.add(pool)
      if (version !== undefined) offer.versions.add(version)
    }
  return [...new Set([...offers.keys(), ...store.models.keys()])].map((model) => {
    const { calls = {}, rows = { hit: 0, join: 0, miss: 0, dup: 0 } } = store.models.get(model) ?? {}
    const { pools = [], versions = [] } = offers.get(model) ?? {}
    const grown = (of: string) => store.perSecond(`model ${model} ${of}`)
    return {
      model,
      where: [...pools].join(', '),
      versions: [...versions].join(', ') || '–',
      perSecond: Object.keys(calls).reduce((sum, outcome) => sum + grown(outcome), 0),
      calls: totalOf(calls),
      hitRatio: hitRatioOf(calls),
      saved: savedRows(rows),
      savedPerSecond: grown('rows hit') + grown('rows join') + grown('rows dup'),
    }
  })
}

function deploymentRows(store: Store): readonly DeploymentRow[] {
  return [...store.deployments.values()]
    .filter(({ model }) => model !== '')
    .map(({ pool, model, versions, token, shared }) => ({
      pool,
      model,
      versions: versions?.join(', ') ?? 'not told',
      backends: holdersOf(store, pool, model),
      token,
      shared: shared ? 'all gateways' : 'this process',
    }))
}

/** `2 of version 1, 1 of version 2`: how far a roll-out is. */
function holdersOf(store: Store, pool: string, model: string): string {
  const counts = new Map<string, number>()
  for (const { models } of store.pools.get(pool)?.backends ?? [])
    for (const { name, version = '' } of models)
      if (name === model) counts.set(version, (counts.get(version) ?? 0) + 1)
  return [...counts]
    .map(([version, number]) => (version === '' ? String(number) : `${number} of version ${version}`))
    .join(', ')
}
