/** Where the chart and what is rendered from it lie. */
import { readdirSync } from 'node:fs'
import { join, sep } from 'node:path'

export const ROOT = join(import.meta.dirname, '..', '..')
export const CHART = join(ROOT, 'deploy', 'helm', 'infergate')
export const UNIT = join(ROOT, 'deploy', 'systemd', 'infergate.service')
/** Alerts and board, of which the chart has copies. */
export const RULES = join(ROOT, 'deploy', 'prometheus', 'rules.yaml')
export const BOARD = join(ROOT, 'deploy', 'grafana', 'infergate.json')
export const SOCKET_UNIT = join(ROOT, 'deploy', 'systemd', 'infergate.socket')
const EXAMPLES = join(CHART, 'ci')
const MANIFESTS = join(ROOT, 'deploy', 'kubernetes')

/** Plain manifests: the chart with its own values, or with those of an example. */
export interface Rendering {
  /** Of the file: `infergate` is the chart as it is. */
  readonly name: string
  /** Values on top of the chart's. */
  readonly values: string | undefined
  /** The manifest that is committed. */
  readonly manifest: string
}

/** All that is rendered, the chart as it is first. */
export function renderings(): Rendering[] {
  const suffix = '-values.yaml'
  const examples = readdirSync(EXAMPLES).sort()
  return [
    { name: 'infergate', values: undefined, manifest: join(MANIFESTS, 'infergate.yaml') },
    ...examples.map((file) => {
      const name = file.slice(0, -suffix.length)
      return { name, values: join(EXAMPLES, file), manifest: join(MANIFESTS, 'examples', `${name}.yaml`) }
    }),
  ]
}

/** What `npm run docs` makes of the gateway's schema, and copies of alerts and board: a change there changes no manifest. */
const GENERATED = [
  'values.schema.json',
  ...['restart.json', 'rules.yaml', 'dashboard.json'].map((name) => join('files', name)),
]

/** All files of the chart that are written by hand, as paths below it. */
export function chartFiles(): string[] {
  return readdirSync(CHART, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(CHART.length + 1))
    .filter((path) => !path.startsWith(`ci${sep}`) && !GENERATED.includes(path))
    .sort()
}
