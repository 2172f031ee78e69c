/** What can be said of deploy/compose.yaml without Docker: what is mounted is there, ports agree, and the gateway takes its settings. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { formatProblem, parseSettings } from '../../../src/config/load.ts'
import type { Settings } from '../../../src/config/schema.ts'
import { ROOT } from '../places.ts'

interface Service {
  readonly command?: readonly string[]
  readonly volumes?: readonly string[]
  readonly ports?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly stop_grace_period?: string
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>
  readonly volumes?: Readonly<Record<string, unknown>>
}

const DEPLOY = join(ROOT, 'deploy')
/** What the models may take to end, behind the calls (docs/guide/operations.md). */
const MODELS_MS = 10_000

const read = (path: string): unknown => parse(readFileSync(join(DEPLOY, path), 'utf8'))

export function composeProblems(): string[] {
  const compose = read('compose.yaml') as Compose
  const settings = gatewaySettings()
  const found = Array.isArray(settings) ? settings : gatewayProblems(compose, settings)
  return [...mounts(compose), ...found, ...grafana(compose)].map(
    (problem) => `deploy/compose.yaml: ${problem}`,
  )
}

/** The settings as they are in the container; or what is wrong with them. */
function gatewaySettings(): Settings | string[] {
  // The image has the models of the repository in its own folder.
  const text = readFileSync(join(DEPLOY, 'compose', 'infergate.yaml'), 'utf8')
  const here = text.replaceAll('/app/models/', `${join(ROOT, 'models')}/`)
  const loaded = parseSettings(here, 'compose/infergate.yaml', { ADMIN_TOKEN_HASH: '' })
  if ('problems' in loaded) return loaded.problems.map(formatProblem)
  return loaded.warnings.length > 0 ? loaded.warnings.map(formatProblem) : loaded.settings
}

function gatewayProblems({ services }: Compose, { server, admin, cache }: Settings): string[] {
  const { ports = [], stop_grace_period: grace = '' } = services['gateway'] ?? {}
  const targets = ports.map((port) => Number(port.split(':').at(-1)))
  const scraped = scrapedTargets()
  const neededMs = server.shutdownDelay + server.drainTimeout + MODELS_MS
  const tiers = cache.tiers.flatMap((tier) => (tier.type === 'redis' ? new URL(tier.url).hostname : []))
  return [
    ...[server.listen.port, admin.listen.port]
      .filter((port) => !targets.includes(port))
      .map((port) => `the gateway listens on ${port}, which is not published`),
    ...(scraped.includes(`gateway:${admin.listen.port}`)
      ? []
      : [`Prometheus asks ${scraped.join()}, and not the admin port`]),
    ...(admin.openMetrics ? [] : ['Prometheus has no token, and openMetrics is off']),
    ...(Number.parseInt(grace, 10) * 1000 >= neededMs
      ? []
      : [`the gateway may take ${neededMs} ms to end, and has ${grace}`]),
    ...tiers.filter((host) => !(host in services)).map((host) => `there is no service ${host} for a tier`),
  ]
}

function scrapedTargets(): string[] {
  const { scrape_configs: jobs } = read('prometheus/prometheus.yaml') as {
    scrape_configs: { static_configs: { targets: string[] }[] }[]
  }
  return jobs.flatMap((job) => job.static_configs.flatMap(({ targets }) => targets))
}

/** Grafana asks a service, and finds the board where it is mounted. */
function grafana({ services }: Compose): string[] {
  const { datasources } = read('grafana/provisioning/datasources/prometheus.yaml') as {
    datasources: { url: string }[]
  }
  const { providers } = read('grafana/provisioning/dashboards/infergate.yaml') as {
    providers: { options: { path: string } }[]
  }
  const { volumes = [], environment = {} } = services['grafana'] ?? {}
  const home = environment['GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH'] ?? ''
  const mounted = volumes.map((volume) => volume.split(':')[1])
  return [
    ...datasources
      .filter(({ url }) => !(new URL(url).hostname in services))
      .map(({ url }) => `there is no service for ${url}`),
    ...providers
      .filter(({ options }) => !mounted.some((path) => path?.startsWith(`${options.path}/`)))
      .map(({ options }) => `no board is mounted in ${options.path}`),
    ...(mounted.includes(home) ? [] : [`the home board ${home} is not mounted`]),
  ]
}

/** Files that are mounted are there, named volumes are declared, and settings are mounted where the command says. */
function mounts({ services, volumes: named = {} }: Compose): string[] {
  return Object.entries(services).flatMap(([name, { volumes = [], command = [] }]) => {
    const pairs = volumes.map((volume) => volume.split(':'))
    const lost = pairs.filter(([source = '']) =>
      source.startsWith('.') ? !existsSync(join(DEPLOY, source)) : !(source in named),
    )
    const files = command.flatMap((word) => /(?:^|=)(\/etc\/.*)$/.exec(word)?.[1] ?? [])
    return [
      ...lost.map(([source]) => `${name}: there is no ${source}`),
      ...files
        .filter((file) => !pairs.some(([, target = '']) => file === target || file.startsWith(`${target}/`)))
        .map((file) => `${name}: nothing is mounted at ${file}`),
    ]
  })
}
