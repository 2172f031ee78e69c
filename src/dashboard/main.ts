/** The dashboard: follows the gateway's events and shows them, one view at a time. */
import { GatewayConnection, type Link } from './connection.ts'
import { say, TokenDialog } from './dialogs.ts'
import { el, setClass, setText } from './dom.ts'
import { age } from './format.ts'
import { Shortcuts } from './keyboard.ts'
import { Store } from './store.ts'
import { themeSwitch } from './theme.ts'
import type { Acting, View } from './view.ts'
import { CacheView } from './view-cache.ts'
import { CallsView } from './view-calls.ts'
import { ExplainView } from './view-explain.ts'
import { FaultsView } from './view-faults.ts'
import { ModelsView } from './view-models.ts'
import { OverviewView } from './view-overview.ts'
import { PoolsView } from './view-pools.ts'
import { ScalingView } from './view-scaling.ts'
import { TenantsView } from './view-tenants.ts'

/** No faster than people read. */
const RENDER_MS = 200

const place = (id: string) => document.getElementById(id) as HTMLElement

const store = new Store()
const tokens = new TokenDialog((token) => connection.connect(token))
let isDirty = true
let renderedAt = Number.NEGATIVE_INFINITY

const connection = new GatewayConnection({
  event(kind, data) {
    store.take(kind, data)
    isDirty = true
  },
  changed(link) {
    if (link.state === 'token needed') tokens.open('')
    else if (link.state === 'token refused') tokens.open(link.why)
    else if (link.state === 'live') tokens.close()
    showLink(link)
  },
})

const acting: Acting = {
  store,
  connection,
  async act(what, run) {
    try {
      const note = await run()
      say(`Done: ${what}${typeof note === 'string' && note !== '' ? ` (${note})` : ''}`)
    } catch (error) {
      say(`${what} failed: ${(error as Error).message}`, 'bad')
    }
  },
}

const views: readonly View[] = [
  new OverviewView(),
  new PoolsView(acting),
  new CacheView(acting),
  new ModelsView(acting),
  new TenantsView(acting),
  new ScalingView(),
  new FaultsView(),
  new CallsView(acting),
  new ExplainView(acting),
]
let shown: View | undefined

const main = place('main')
const links = new Map(
  views.map(({ id, title }, at) => [
    id,
    el('a', { href: `#${id}` }, el('span', { text: title }), el('kbd', { text: String(at + 1) })),
  ]),
)
place('views').append(...[...links.values()].map((link) => el('li', {}, link)))

function show(): void {
  const wanted = views.find(({ id }) => `#${id}` === location.hash) ?? views[0]
  if (!wanted || wanted === shown) return
  shown = wanted
  setText(place('title'), wanted.title)
  document.title = `${wanted.title} · infergate`
  place('view').replaceChildren(wanted.element)
  for (const [id, link] of links) {
    if (id === wanted.id) link.setAttribute('aria-current', 'page')
    else link.removeAttribute('aria-current')
  }
  links.get(wanted.id)?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
  wanted.render(store)
}

function render(now: number): void {
  requestAnimationFrame(render)
  if (!isDirty || now - renderedAt < RENDER_MS) return
  isDirty = false
  renderedAt = now
  shown?.render(store)
  const { gateway } = store
  if (!gateway) return
  setText(
    place('about'),
    `${gateway.version}, up ${age(Date.now() - Date.parse(gateway.since))}, ${gateway.listening} of ${gateway.workers} workers`,
  )
  setClass(place('ready'), `badge ${gateway.ready ? 'good' : 'bad'}`)
  setText(place('ready'), gateway.ready ? 'ready' : 'not ready')
}

const KINDS = {
  connecting: 'busy',
  live: 'good',
  lost: 'bad',
  'token needed': 'busy',
  'token refused': 'bad',
} as const

function showLink(link: Link): void {
  const said =
    link.state === 'lost' ? `disconnected: data is ${age(performance.now() - link.at)} old` : link.state
  const status = place('link')
  setClass(status, `badge ${KINDS[link.state]}`)
  setText(status, said)
  status.title = link.state === 'lost' || link.state === 'token refused' ? link.why : ''
  document.body.classList.toggle('stale', link.state !== 'live')
}

setInterval(() => {
  if (connection.link.state === 'lost') showLink(connection.link)
}, 500)

const nextTheme = themeSwitch(place('theme'), () => {
  for (const view of views) view.recolor?.()
})
const shortcuts = new Shortcuts([
  ...views.map((view, at) => ({
    key: String(at + 1),
    does: view.title,
    run: () => {
      location.hash = view.id
      main.focus()
    },
  })),
  { key: '/', does: 'Filter, or the first field', run: () => shown?.filter?.focus() },
  { key: 't', does: 'Switch the theme', run: nextTheme },
])
place('help').addEventListener('click', () => shortcuts.toggleHelp())
addEventListener('hashchange', show)
show()
requestAnimationFrame(render)
connection.connect()
