/**
 * Discovers backends in DNS and resolves again when the TTL has passed: every address of a name, or the targets of its
 * SRV records (RFC 2782) with their ports and weights. It uses node:dns's own resolver, because the system's `lookup`
 * hides the TTL and occupies a thread. After an error, or where the name does not exist, the last answer stays. Of several targets
 * those that cannot be resolved do not hold back the others.
 */
import { Resolver } from 'node:dns/promises'
import type { Log } from '../../core/log.ts'
import { backoffMs } from '../../lib/backoff.ts'
import type { Clock } from '../../lib/clock.ts'
import { BOUNDS, type FoundBackend } from '../registry/registration.ts'
import { foundAt } from './found.ts'
import type { DiscoverySource, Snapshot } from './source.ts'

/** The part of node:dns's Resolver that is used. */
export interface DnsResolver {
  resolve4(name: string, options: { ttl: true }): Promise<{ address: string; ttl: number }[]>
  resolve6(name: string, options: { ttl: true }): Promise<{ address: string; ttl: number }[]>
  resolveSrv(name: string): Promise<{ name: string; port: number; priority: number; weight: number }[]>
  cancel(): void
}

export interface DnsOptions {
  readonly name: string
  readonly record: 'a' | 'srv'
  /** Of the backends, where the record has none. Default 80, where there is no `grpcPort`. */
  readonly port?: number
  /** Where the same backends take gRPC. */
  readonly grpcPort?: number
  readonly minIntervalMs: number
  readonly clock: Clock
  readonly log: Log
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Default: one that asks the system's name servers. */
  readonly resolver?: DnsResolver
}

/** Whatever the TTL says: a change is seen within this time. */
const MAX_INTERVAL_MS = 60_000
const QUERY = { timeout: 2000, tries: 2 }
/** The name exists, but has no record of this type. */
const NO_DATA = 'ENODATA'
/** The name does not exist. */
const NO_NAME = 'ENOTFOUND'
/** Most targets that a log line names. */
const MAX_NAMED = 10

interface Addresses {
  readonly addresses: readonly string[]
  readonly ttlMs: number
}

/** What one look at the name server found. */
interface Found {
  readonly snapshot: FoundBackend[]
  readonly ttlMs: number
  /** The targets that could not be resolved, with why. */
  readonly missing: readonly string[]
}

export function createDnsSource(options: DnsOptions): DiscoverySource {
  const { name, clock, log, minIntervalMs, random } = options
  const resolver = options.resolver ?? new Resolver(QUERY)
  const targets = new Targets(resolver)
  let apply: ((snapshot: Snapshot) => void) | undefined
  let cancel: (() => void) | undefined
  let failures = 0
  let lastMissing = ''
  let looking = false

  async function resolve(): Promise<void> {
    if (looking) return
    looking = true
    let dueIn: number
    try {
      const { snapshot, ttlMs, missing } = await find(resolver, targets, options)
      if (failures > 0) log.info('discovery.dns', { name, backends: snapshot.length })
      failures = 0
      if (missing.length > 0 && missing.join() !== lastMissing)
        log.warn('discovery.dns', { name, missing: missing.slice(0, MAX_NAMED), targets: missing.length })
      lastMissing = missing.join()
      dueIn = Math.min(MAX_INTERVAL_MS, Math.max(minIntervalMs, ttlMs))
      apply?.(snapshot)
    } catch (error) {
      if (failures === 0 && apply) log.warn('discovery.dns', { name, error: String(error) })
      dueIn = backoffMs(failures++, { baseMs: minIntervalMs, maxMs: MAX_INTERVAL_MS, random })
    }
    looking = false
    plan(dueIn)
  }

  function plan(ms: number): void {
    cancel?.()
    if (apply) cancel = clock.after(ms, () => void resolve())
  }

  return {
    name: `dns:${name}`,
    start(to) {
      apply = to
      void resolve()
    },
    refresh: () => plan(0),
    stop() {
      apply = undefined
      cancel?.()
      resolver.cancel()
    },
  }
}

async function find(
  resolver: DnsResolver,
  targets: Targets,
  { name, record, grpcPort, port = grpcPort === undefined ? 80 : undefined }: DnsOptions,
): Promise<Found> {
  if (record === 'a') {
    const { addresses, ttlMs } = await addressesOf(resolver, name)
    const snapshot = addresses
      .flatMap((host) => foundAt({ host, port, grpcPort }) ?? [])
      .slice(0, BOUNDS.backends)
    return { snapshot, ttlMs, missing: [] }
  }
  const records = await orNone(resolver.resolveSrv(name))
  // Only the targets of the lowest priority number are used: whether all of them are down is not known here.
  const first = Math.min(...records.map(({ priority }) => priority))
  const used = records.filter(({ priority }) => priority === first).slice(0, BOUNDS.backends)
  const { known, missing } = await targets.resolve(new Set(used.map(({ name: target }) => target)))
  const snapshot = used.flatMap(({ name: target, port: own, weight }) =>
    // A weight of zero means "hardly ever" beside others, and nothing where all have it.
    (known.get(target)?.addresses ?? []).flatMap(
      (host) => foundAt({ host, port: own, grpcPort, weight }) ?? [],
    ),
  )
  return {
    snapshot: snapshot.slice(0, BOUNDS.backends),
    ttlMs: missing.length > 0 ? 0 : Math.min(...[...known.values()].map(({ ttlMs }) => ttlMs)),
    missing,
  }
}

/** The addresses of SRV targets. */
class Targets {
  readonly #resolver: DnsResolver
  #known: ReadonlyMap<string, Addresses> = new Map()

  constructor(resolver: DnsResolver) {
    this.#resolver = resolver
  }

  /**
   * A target that does not exist has no address; one that cannot be asked about has its last ones. Rejects when that is so for all:
   * then it is more likely the name server.
   */
  async resolve(
    names: ReadonlySet<string>,
  ): Promise<{ known: ReadonlyMap<string, Addresses>; missing: string[] }> {
    const known = new Map<string, Addresses>()
    const missing: string[] = []
    let failure: unknown
    const look = async (name: string): Promise<void> => {
      try {
        known.set(name, await addressesOf(this.#resolver, name))
      } catch (error) {
        failure = error
        const { code } = error as NodeJS.ErrnoException
        missing.push(`${name} (${code})`)
        const last = code === NO_NAME ? undefined : this.#known.get(name)
        if (last) known.set(name, last)
      }
    }
    await Promise.all([...names].map(look))
    if (missing.length > 0 && missing.length === names.size) throw failure
    this.#known = known
    return { known, missing: missing.sort() }
  }
}

/** A and AAAA together. Rejects when either fails: half an answer would take out the other half's backends. */
async function addressesOf(resolver: DnsResolver, name: string): Promise<Addresses> {
  const both = await Promise.all([
    orNone(resolver.resolve4(name, { ttl: true })),
    orNone(resolver.resolve6(name, { ttl: true })),
  ])
  const records = both.flat()
  return {
    addresses: [...new Set(records.map(({ address }) => address))].sort(),
    ttlMs: Math.min(...records.map(({ ttl }) => ttl)) * 1000,
  }
}

async function orNone<T>(query: Promise<T[]>): Promise<T[]> {
  try {
    return await query
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === NO_DATA) return []
    throw error
  }
}
