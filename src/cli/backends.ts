/** `infergate backends`: lists the backends of each pool, and adds, drains and removes them. */
import { Command, InvalidArgumentError } from 'commander'
import {
  type AdminClient,
  type AdminClientOptions,
  AdminError,
  createAdminClient,
  reportingErrors,
  withAdminOptions,
} from './admin-client.ts'
import {
  type BackendRow,
  type LeaseReply,
  type PoolRow,
  readLease,
  readPool,
  readPools,
  readRemoval,
  readState,
} from './answers.ts'
import { columns } from './columns.ts'

interface AddOptions extends AdminClientOptions {
  readonly weight?: number
  readonly model: readonly string[]
  readonly ttl: string
  readonly epoch?: number
  readonly hold?: boolean
  readonly grpc?: string
}

const EXAMPLES = {
  list: `
  STATE    ready gets calls; docs/guide/backends.md has the others
  CALLS    under way from this gateway / the most at a time; "+2" are those of other gateways
  LATENCY  how long its calls took lately
  SHARE    the weight in force
  GRPC     where it takes gRPC, if one of them does
  LEASE    what is left of it; static: from the YAML; discovered: from a source of the YAML
  REASON   why it is in that state

Examples:
  infergate backends list
  infergate backends list ranker --json | jq '.pools[].backends[].state'`,
  add: `
Examples:
  infergate backends add ranker gpu-1 http://10.0.0.4:8000 --model ranker@3 --ttl 10m
  infergate backends add ranker laptop http://127.0.0.1:8000 --hold
  infergate backends add ranker triton http://10.0.0.5:8000 --grpc http://10.0.0.5:8001

A registered backend has a lease. Without --hold it is gone when the lease ends; with --hold this
command renews it until it is interrupted, then drains and removes the backend.`,
  drain: `
A draining backend gets no new call and stays listed; --undo ends that.

Examples:
  infergate backends drain ranker gpu-1
  infergate backends drain ranker gpu-1 --undo`,
  remove: `
Running calls may finish first. The process itself cannot come back under the same epoch for five minutes;
a newer one can.

Examples:
  infergate backends remove ranker gpu-1 --drain 2m`,
}

/** The command with its subcommands, for the program to mount. */
export function backendsCommand(): Command {
  const command = new Command('backends').description('list, add, drain and remove the backends of the pools')
  command.addCommand(listCommand())
  command.addCommand(addCommand())
  command.addCommand(drainCommand())
  command.addCommand(removeCommand())
  return command
}

function listCommand(): Command {
  return withAdminOptions(new Command('list'))
    .description('every backend with its state and the reason for it')
    .argument('[pool]', 'only this pool')
    .option('--json', 'the answer of the admin API, for programs')
    .addHelpText('after', EXAMPLES.list)
    .action((pool: string | undefined, options: AdminClientOptions & { json?: boolean }) =>
      reportingErrors(async () => {
        const client = await createAdminClient(options)
        const pools = await listPools(client, pool)
        process.stdout.write(options.json ? `${JSON.stringify({ pools }, null, 2)}\n` : table(pools))
      }),
    )
}

function addCommand(): Command {
  const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value]
  return withAdminOptions(new Command('add'))
    .description('register a backend under a lease')
    .argument('<pool>', 'a pool of the settings')
    .argument('<id>', 'its name in the pool: A-Z a-z 0-9 . _ : -')
    .argument('[url]', 'http://host:port')
    .option('--grpc <url>', 'where it takes gRPC: http://host:port, https:// for TLS')
    .option('--weight <number>', 'share of the calls, 1 is ordinary', positive)
    .option('--model <name[@version]>', 'a model it serves; may be given again', collect, [])
    .option('--ttl <duration>', 'length of the lease, 3s to 10m', '10m')
    .option('--epoch <number>', 'age of the process; older ones are refused (default: now)', positive)
    .option('--hold', 'renew the lease until interrupted')
    .addHelpText('after', EXAMPLES.add)
    .action((pool: string, id: string, url: string | undefined, options: AddOptions) =>
      reportingErrors(() => add({ pool, id, url }, options)),
    )
}

function drainCommand(): Command {
  return withAdminOptions(new Command('drain'))
    .description('give a backend no new calls')
    .argument('<pool>')
    .argument('<id>')
    .option('--undo', 'give it calls again')
    .addHelpText('after', EXAMPLES.drain)
    .action((pool: string, id: string, options: AdminClientOptions & { undo?: boolean }) =>
      reportingErrors(async () => {
        const client = await createAdminClient(options)
        const state = options.undo ? 'ready' : 'draining'
        const answer = await client.send('PATCH', pathOf(pool, id), readState, { state })
        process.stdout.write(`${pool}/${id} is ${answer.state}\n`)
      }),
    )
}

function removeCommand(): Command {
  return withAdminOptions(new Command('remove'))
    .description('drain a backend, then remove it')
    .argument('<pool>')
    .argument('<id>')
    .option('--drain <duration>', 'how long running calls may take to finish', '30s')
    .option('--generation <number>', 'only if this is still its generation', positive)
    .addHelpText('after', EXAMPLES.remove)
    .action(
      (pool: string, id: string, options: AdminClientOptions & { drain: string; generation?: number }) =>
        reportingErrors(async () => {
          const client = await createAdminClient(options)
          const query = new URLSearchParams({ drain: options.drain })
          if (options.generation !== undefined) query.set('generation', String(options.generation))
          const path = `${pathOf(pool, id)}?${query.toString()}`
          const { inflight } = await client.send('DELETE', path, readRemoval)
          process.stdout.write(`${pool}/${id} is being removed; calls in flight: ${inflight}\n`)
        }),
    )
}

async function add(
  backend: { pool: string; id: string; url: string | undefined },
  options: AddOptions,
): Promise<void> {
  const client = await createAdminClient(options)
  const path = pathOf(backend.pool, backend.id)
  const body = {
    ...(backend.url === undefined ? {} : { url: backend.url }),
    ...(options.grpc === undefined ? {} : { grpc: options.grpc }),
    // Set here, so that a repeated registration after a lost lease is the same backend and not a successor.
    epoch: options.epoch ?? Date.now(),
    ...(options.weight === undefined ? {} : { weight: options.weight }),
    models: options.model.map(modelOf),
    lease: { ttlMs: durationOf(options.ttl) },
  }
  const lease = await client.send('PUT', path, readLease, body)
  process.stdout.write(`${backend.pool}/${backend.id} is registered, generation ${lease.generation}\n`)
  if (options.hold) await holdLease(client, { path, body, lease })
  else process.stdout.write(`its lease ends in ${lease.ttlMs / 1_000} s unless something renews it\n`)
}

/**
 * Renews the lease until SIGINT or SIGTERM; then drains and removes the backend. A failed renewal is retried at the
 * next one.
 */
async function holdLease(
  client: AdminClient,
  registration: { path: string; body: unknown; lease: LeaseReply },
): Promise<void> {
  let { lease } = registration
  process.stdout.write('renewing its lease; interrupt to drain and remove it\n')
  const interrupted = Promise.withResolvers<void>()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.resolve())
  for (;;) {
    const pause = Promise.withResolvers<'due'>()
    const timer = setTimeout(() => pause.resolve('due'), lease.renewAfterMs)
    const woken = await Promise.race([pause.promise, interrupted.promise])
    clearTimeout(timer)
    if (woken !== 'due') break
    try {
      const { generation } = lease
      await client.send('POST', `${registration.path}/renew`, readLease, { generation })
    } catch (error) {
      if (!(error instanceof AdminError) || error.status === 409) throw error
      if (error.status === 404)
        lease = await client.send('PUT', registration.path, readLease, registration.body)
      else process.stderr.write(`infergate: ${error.message}; trying again\n`)
    }
  }
  const path = `${registration.path}?drain=30s&generation=${lease.generation}`
  await client.send('DELETE', path, readRemoval)
  process.stdout.write('removed\n')
}

async function listPools(client: AdminClient, pool: string | undefined): Promise<readonly PoolRow[]> {
  if (pool !== undefined)
    return [await client.send('GET', `/api/v1/pools/${encodeURIComponent(pool)}`, readPool)]
  return (await client.send('GET', '/api/v1/pools', readPools)).pools
}

function table(pools: readonly PoolRow[]): string {
  const isForGrpc = pools.some(({ backends }) => backends.some(({ grpc }) => grpc !== undefined))
  const head = ['POOL', 'ID', 'STATE', 'CALLS', 'LATENCY', 'SHARE', 'LEASE', 'URL', 'REASON']
  const rows = pools.flatMap(({ pool, backends }) =>
    backends.map((backend) => [
      pool,
      backend.id,
      backend.effective?.state ?? backend.state,
      callsOf(backend),
      backend.latencyMs === undefined ? '-' : `${backend.latencyMs.toFixed(1)} ms`,
      String(backend.share ?? backend.weight),
      backend.leaseRemainingMs === undefined
        ? backend.source
        : `${Math.round(backend.leaseRemainingMs / 1_000)} s`,
      backend.url ?? '-',
      ...(isForGrpc ? [backend.grpc ?? '-'] : []),
      backend.effective?.reason ?? backend.reason,
    ]),
  )
  const notes = pools.flatMap(notesOf)
  if (rows.length === 0) return `${['no backends', ...notes].join('\n')}\n`
  return `${[...columns(isForGrpc ? head.toSpliced(-1, 0, 'GRPC') : head, rows), ...notes].join('\n')}\n`
}

/** `3/64 +2`: three of 64 from this gateway, and two from others. */
function callsOf({ inflight, limit, peers }: BackendRow): string {
  return `${inflight}${limit === undefined ? '' : `/${limit}`}${peers ? ` +${peers}` : ''}`
}

/** Unusual conditions of a pool, one line each. */
function notesOf({ pool, preservation, traffic = {}, backends }: PoolRow): string[] {
  const { queued = 0, retriesLeft = 1, panic, failing } = traffic
  return [
    preservation,
    queued > 0 ? `${queued} calls wait for a backend with room` : undefined,
    panic ? 'most backends are ejected, so ejections are ignored' : undefined,
    failing ? 'most backends fail, so nobody is ejected for it' : undefined,
    retriesLeft < 1 && backends.length > 0
      ? 'the retry budget is spent: failures are answered as they are'
      : undefined,
  ].flatMap((note) => (note === undefined ? [] : [`${pool}: ${note}`]))
}

function pathOf(pool: string, id: string): string {
  return `/api/v1/pools/${encodeURIComponent(pool)}/backends/${encodeURIComponent(id)}`
}

function modelOf(text: string): { name: string; version?: string } {
  const at = text.lastIndexOf('@')
  return at > 0 ? { name: text.slice(0, at), version: text.slice(at + 1) } : { name: text }
}

function durationOf(text: string): number {
  const match = /^(\d{1,9})(ms|s|m|h)$/.exec(text)
  const unit = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[match?.[2] ?? '']
  if (!match || unit === undefined) throw new AdminError(`"${text}" is not a duration: write 30s, 5m or 1h`)
  return Number(match[1]) * unit
}

function positive(text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value) && value > 0) return value
  throw new InvalidArgumentError('It must be a number above 0.')
}
