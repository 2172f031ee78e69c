/** `infergate serve`: runs the gateway until it is stopped. */
import { join } from 'node:path'
import { Command } from 'commander'
import { TierRefused } from '../app/cache.ts'
import { CredentialsError } from '../app/credentials.ts'
import { Gateway } from '../app/gateway.ts'
import { type LoadedParts, loadParts } from '../app/parts.ts'
import { CertificateError } from '../app/tls.ts'
import { changedSettings } from '../config/changes.ts'
import { type ConfigProblem, formatProblem, type LoadedSettings, loadSettings } from '../config/load.ts'
import { restartNeeded } from '../config/restart.ts'
import type { Settings } from '../config/schema.ts'
import { upstreamSettings } from '../config/upstream.ts'
import { Reload } from '../control/reload.ts'
import type { HostPort } from '../core/addresses.ts'
import { systemClock } from '../lib/clock.ts'
import { INSTALLATION } from '../lib/installation.ts'
import { createLog, type ProcessLog } from '../obs/log.ts'
import { logFormatFor } from '../obs/log-text.ts'
import { takeInheritedSockets } from './inherited-sockets.ts'
import { UserError } from './user-error.ts'

interface Options {
  readonly config?: string
  readonly upstream?: readonly string[]
  readonly listen?: string
  readonly admin?: string
  readonly timeout?: string
  readonly idleTimeout?: string
  readonly parts?: string
}

const DEFAULT_CONFIG = join(INSTALLATION, 'config', 'infergate.yaml')

const HELP = `
Without --config and --upstream it serves config/infergate.yaml of the installation: an embedded model that
reads handwritten digits, and nothing else is needed. A changed YAML is taken over while calls run, and on
SIGHUP; a bad one is refused, and the log and /readyz of the admin listener say why. After SIGTERM it goes on
for server.shutdownDelay (1 s), unready, and then lets running calls finish; SIGINT does not wait.

Examples:
  $ infergate serve
  $ infergate serve --upstream http://127.0.0.1:8501 --upstream http://127.0.0.1:8502
  $ infergate serve --config infergate.yaml --listen 127.0.0.1:8080`

export function serveCommand(): Command {
  return new Command('serve')
    .description('run the gateway')
    .option('--config <file>', 'the YAML file (default: the installation’s config/infergate.yaml)')
    .option(
      '--upstream <url>',
      'a model server to stand in front of, without YAML; may be repeated; grpc:// where it takes gRPC',
      collect,
    )
    .option('--listen <host:port>', 'where clients connect, instead of server.listen')
    .option('--admin <host:port>', 'where the admin API listens, instead of admin.listen')
    .option(
      '--timeout <duration>',
      'with --upstream: how long a call may take, or wait for a stream to begin',
    )
    .option('--idle-timeout <duration>', 'with --upstream: the longest silence in a stream')
    .option('--parts <module>', 'a module with parts of your own (tiers, policies, …) that the YAML names')
    .addHelpText('after', HELP)
    .action(serve)
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value]
}

async function serve(options: Options): Promise<void> {
  const parts = options.parts === undefined ? undefined : await customParts(options.parts)
  const sockets = takeInheritedSockets(process.env, process.pid)
  const load = withWorkers(loader(options, parts), sockets.length)
  const loaded = await load()
  if ('problems' in loaded) throw new UserError(loaded.problems.join('\n'))
  const { settings } = loaded
  const { level, format } = settings.log
  const log = createLog({ level, format: logFormatFor(format, process.stdout, process.env) })
  warn(log, loaded)
  const gateway = new Gateway({
    settings,
    log,
    // This program again, be it a file of the sources or of the build.
    modelServer: [process.execPath, process.argv[1] as string],
    ...(parts === undefined ? {} : { parts }),
    ...(sockets.length > 0 ? { inherited: { descriptors: sockets, lost } } : {}),
  })
  const reload = reloading(options, { load, settings, gateway, log })
  stopOnSignals(gateway, { reload, log })
  const { data, admin } = await gateway.start().catch(async (error: unknown) => {
    await log.close()
    throw mistake(error)
  })
  await reload?.start()
  greet(settings, data, admin)
}

/** A socket that the service manager has lost its worker: the gateway drains, and the manager starts another one. */
function lost(): void {
  process.kill(process.pid, 'SIGTERM')
}

/** Loads the custom parts of a `--parts` module; problems with it are errors of the user. */
export async function customParts(module: string): Promise<LoadedParts> {
  return loadParts(module).catch((error: unknown) => {
    throw new UserError((error as Error).message)
  })
}

interface ReadSettings {
  readonly settings: Settings
  readonly warnings?: readonly ConfigProblem[]
}

type Loader = () => Promise<ReadSettings | { problems: string[] }>

/** Has a worker for each socket that was handed over: what arrives at another one would wait for ever. */
function withWorkers(load: Loader, sockets: number): Loader {
  if (sockets === 0) return load
  return async () => {
    const loaded = await load()
    if ('problems' in loaded) return loaded
    const { server } = loaded.settings
    if (server.workers !== 'auto' && server.workers !== sockets)
      return {
        problems: [
          `server.workers is ${server.workers}, and the service manager hands over ${sockets} sockets: write auto, or as many ListenStream= as workers`,
        ],
      }
    return { ...loaded, settings: { ...loaded.settings, server: { ...server, workers: sockets } } }
  }
}

function warn(log: ProcessLog, { warnings = [] }: ReadSettings): void {
  for (const warning of warnings) log.warn('config.warning', { warning: formatProblem(warning) })
}

/** Returns a function that reads the settings each time it is called; problems are lines for a person. */
function loader(options: Options, parts: LoadedParts | undefined): Loader {
  const { config, upstream = [], listen, admin, timeout, idleTimeout } = options
  const at = { ...(listen === undefined ? {} : { listen }), ...(admin === undefined ? {} : { admin }) }
  if (upstream.length > 0) {
    if (config !== undefined)
      throw new UserError('--config and --upstream do not go together: name the pool in the YAML')
    const times = {
      ...(timeout === undefined ? {} : { timeout }),
      ...(idleTimeout === undefined ? {} : { idleTimeout }),
    }
    const result = upstreamSettings({ upstreams: upstream, ...at, ...times })
    return async () => ('settings' in result ? result : { problems: [...result.errors] })
  }
  if (timeout !== undefined || idleTimeout !== undefined)
    throw new UserError(
      '--timeout and --idle-timeout go with --upstream: in a YAML they are routes[].timeout and routes[].idleTimeout',
    )
  const file = config ?? DEFAULT_CONFIG
  // The file may name the two by their variables: a bad one is a mistake of the command line, not of a line of the file.
  if (listen !== undefined) address('--listen', listen)
  if (admin !== undefined) address('--admin', admin)
  const env = {
    ...process.env,
    ...(listen === undefined ? {} : { INFERGATE_LISTEN: listen }),
    ...(admin === undefined ? {} : { INFERGATE_ADMIN: admin }),
  }
  return async () => {
    const loaded: LoadedSettings = await loadSettings(file, env, parts?.names)
    if ('problems' in loaded) return { problems: loaded.problems.map(formatProblem) }
    return { settings: withListeners(loaded.settings, at), warnings: loaded.warnings }
  }
}

/** Overrides the file's listeners with those of the command line, also after a reload. */
function withListeners(settings: Settings, at: { listen?: string; admin?: string }): Settings {
  return {
    ...settings,
    server: {
      ...settings.server,
      ...(at.listen === undefined ? {} : { listen: address('--listen', at.listen) }),
    },
    admin: { ...settings.admin, ...(at.admin === undefined ? {} : { listen: address('--admin', at.admin) }) },
  }
}

function address(flag: string, text: string): HostPort {
  const [, v6, unbracketed, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? []
  const host = v6 ?? unbracketed
  if (host === undefined || Number(port) > 65_535)
    throw new UserError(`${flag} ${text} is no address: write HOST:PORT, as in 127.0.0.1:8080`)
  return { host, port: Number(port) }
}

interface Running {
  readonly load: Loader
  readonly settings: Settings
  readonly gateway: Gateway
  readonly log: ProcessLog
}

/** Undefined where there is no file to watch. */
function reloading(
  options: Options,
  { load, settings, gateway, log }: Running,
): Reload<Settings> | undefined {
  if (options.upstream) return undefined
  const reload = new Reload<Settings>({
    file: options.config ?? DEFAULT_CONFIG,
    clock: systemClock,
    log,
    settings,
    async load() {
      const loaded = await load()
      if (!('problems' in loaded)) warn(log, loaded)
      return loaded
    },
    changed: changedSettings,
    needRestart: restartNeeded,
    apply: (next) => gateway.reload(next),
    refused: () => gateway.reloaded(false),
  })
  gateway.notes = () => reload.reasons
  // To the end it is a word about the file: a signal that nobody hears any more would end the process while it drains.
  process.on('SIGHUP', () => {})
  return reload
}

function stopOnSignals(
  gateway: Gateway,
  { reload, log }: { reload: Reload<Settings> | undefined; log: ProcessLog },
): void {
  let isStopping = false
  const stop = (signal: NodeJS.Signals) => {
    // A second signal ends the wait for the balancer, a third one the wait for running calls.
    if (isStopping && !gateway.hurry()) process.exit(1)
    if (isStopping) return
    isStopping = true
    log.info('gateway.signal', { signal })
    reload?.stop()
    // SIGTERM usually comes from a service manager, behind a balancer; SIGINT from a person at a terminal.
    void gateway
      .stop({ isAnnounced: signal === 'SIGTERM' })
      .then(() => log.close())
      .then(() => process.exit(0))
  }
  process.on('SIGTERM', stop).on('SIGINT', stop)
}

/** Marks the error of a listener that cannot be opened as one that the user can fix. */
function mistake(error: unknown): unknown {
  if (error instanceof TierRefused || error instanceof CertificateError || error instanceof CredentialsError)
    return new UserError(error.message)
  const { code, port, address: host } = error as NodeJS.ErrnoException & { port?: number; address?: string }
  if (code === 'EADDRINUSE')
    return new UserError(
      `port ${port} of ${host} is in use: stop what listens there, or choose another with --listen HOST:PORT`,
    )
  if (code === 'EACCES')
    return new UserError(
      `not allowed to listen on port ${port}: choose one above 1023 with --listen HOST:PORT`,
    )
  if (code === 'EADDRNOTAVAIL')
    return new UserError(`${host} is no address of this machine: choose another with --listen HOST:PORT`)
  return error instanceof Error && /listen|admin/.test(error.message) && code === undefined
    ? new UserError(error.message)
    : error
}

/** Prints a greeting for people; the log on standard output is for machines. */
function greet(settings: Settings, data: HostPort, admin: HostPort): void {
  const say = (line: string) => process.stderr.write(`infergate: ${line}\n`)
  const [scheme, adminScheme] = [settings.server.tls, settings.admin.tls].map((tls) =>
    tls ? 'https' : 'http',
  )
  say(
    `serving on ${scheme}://${show(data)}${everywhere(data)}, admin on ${adminScheme}://${show(admin)}${everywhere(admin)}`,
  )
  for (const { name, replicas } of settings.models)
    say(
      replicas.min === 0
        ? `model ${name} is loaded when it is first called`
        : `model ${name} is being loaded: ${adminScheme}://${show(admin)}/readyz says when it is there`,
    )
}

function show({ host, port }: HostPort): string {
  const reachable = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
  return reachable.includes(':') ? `[${reachable}]:${port}` : `${reachable}:${port}`
}

/** The note for a wildcard listener: its URL with 127.0.0.1 alone would look closed to the network. */
function everywhere({ host }: HostPort): string {
  return host === '0.0.0.0' || host === '::' ? ' (and every other address of this machine)' : ''
}
