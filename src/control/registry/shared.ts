/**
 * Shares the membership between gateways through a store: registrations, renewals, drains and removals, and how many
 * calls each gateway has running where. Decisions stay local: the store only spreads facts, each has an owner and an
 * expiry, and no call waits for it. While the store is unreachable, each gateway continues with what it knows, and no
 * lease ends, since its renewal may have reached another gateway.
 */
import type { Log } from '../../core/log.ts'
import type { SharedStore } from '../../core/shared.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Membership } from './membership.ts'
import type { Change } from './registration.ts'
import type { Registry } from './registry.ts'
import {
  adopt,
  extend,
  type RecordSigner,
  readRecord,
  recordOf,
  type SharedRecord,
  verifiedRecord,
  writeRecord,
} from './shared-members.ts'
import { EXCHANGE } from './shared-script.ts'

export interface SharedOptions {
  readonly registry: Registry
  readonly store: SharedStore
  readonly clock: Clock
  readonly log: Log
  /** The unique name of this gateway process. */
  readonly instance: string
  /** The name of the machine, for backends on its loopback. */
  readonly machine: string
  /** The pools whose members are shared. */
  readonly pools: () => readonly string[]
  /** Signs what is written, and what is not signed is not believed; undefined: everything is. */
  readonly signer?: RecordSigner | undefined
  readonly inflight: (slot: number) => number
  /** Called with how many calls the other gateways have running on a slot. */
  readonly peers: (slot: number, calls: number) => void
  /** Calls wait for places that other gateways give back: the others' running calls should be known soon. */
  readonly isHurried?: () => boolean
}

const INTERVAL_MS = 400
const HURRIED_INTERVAL_MS = 50
/** Time for the first connection, in which a missing one is not logged. */
const START_MS = 1_500
/** Age at which the other gateways' running calls are dropped. */
const STALE_MS = 2_000
const WARNED_MS = 60_000

interface PoolState {
  version: string
  receivedAt: number
  readonly waiting: Map<string, { readonly kind: 'put' | 'renew'; readonly payload: string }>
  readonly generations: Map<string, number>
}

interface StoreReply {
  readonly now: number
  readonly version: string
  readonly records: readonly SharedRecord[] | undefined
  /** Deadlines in the store's time, by id. */
  readonly leases: ReadonlyMap<string, number>
  readonly loads: readonly Readonly<Record<string, number>>[]
}

export class Shared {
  readonly #options: SharedOptions
  readonly #pools = new Map<string, PoolState>()
  #cancel: (() => void) | undefined
  #syncedAt: number
  #running = false
  #hurried = false
  #stopped = false
  #warnedAt = Number.NEGATIVE_INFINITY
  /** Undefined until the store was reached once or the start is over. */
  #isDisconnected: boolean | undefined
  readonly #startedAt: number

  constructor(options: SharedOptions) {
    this.#options = options
    this.#syncedAt = this.#startedAt = options.clock.now()
    options.registry.onChange = (change) => this.#changed(change)
  }

  start(): void {
    void this.#round()
  }

  stop(): void {
    this.#stopped = true
    this.#cancel?.()
    this.#options.store.close()
  }

  /** Queues a local change for the other gateways. */
  #changed({ pool, id, kind }: Change): void {
    if (!this.#options.pools().includes(pool)) return
    const { registry, clock, machine } = this.#options
    const member = registry.join(pool, ({ present }) => present.get(id))
    if (!member) return
    const { waiting } = this.#state(pool)
    if (kind === 'renewed') {
      const { generation, lease } = member
      const payload = JSON.stringify({ generation, ttlMs: lease?.ttlMs ?? 0 })
      if (waiting.get(id)?.kind !== 'put') waiting.set(id, { kind: 'renew', payload })
    } else
      waiting.set(id, {
        kind: 'put',
        payload: writeRecord(pool, recordOf(member, { now: clock.now(), machine }), this.#options.signer),
      })
    this.#hurry()
  }

  #hurry(): void {
    this.#hurried = true
    if (this.#running || this.#stopped) return
    this.#cancel?.()
    this.#cancel = this.#options.clock.after(0, () => void this.#round())
  }

  async #round(): Promise<void> {
    const { clock, store, pools } = this.#options
    this.#running = true
    this.#hurried = false
    try {
      if (!store.connected) throw new Error('no connection')
      await Promise.all(pools().map((pool) => this.#exchange(pool)))
      if (this.#isDisconnected) this.#options.log.info('shared.back', {})
      this.#isDisconnected = false
    } catch (error) {
      this.#onDisconnected(error)
    }
    this.#syncedAt = clock.now()
    this.#running = false
    if (!this.#stopped) this.#cancel = clock.after(this.#restMs(), () => void this.#round())
  }

  /** Until the next round. */
  #restMs(): number {
    if (this.#hurried) return 0
    return this.#options.isHurried?.() === true ? HURRIED_INTERVAL_MS : INTERVAL_MS
  }

  /** The store is unreachable: extends the leases, and drops the other gateways' calls when they are too old. */
  #onDisconnected(error: unknown): void {
    const { clock, registry, peers, log } = this.#options
    const isStarting = this.#isDisconnected === undefined && clock.now() - this.#startedAt < START_MS
    if (!this.#isDisconnected && !isStarting) log.warn('shared.away', { error: String(error) })
    if (!isStarting) this.#isDisconnected = true
    // The change that hurried this round cannot be sent; the next round comes at its usual time.
    this.#hurried = false
    const now = clock.now()
    registry.extendLeases(now - this.#syncedAt)
    for (const [pool, { receivedAt: heardAt }] of this.#pools) {
      if (now - heardAt < STALE_MS) continue
      for (const { slot } of registry.view(pool)?.backends ?? []) peers(slot, 0)
    }
  }

  async #exchange(pool: string): Promise<void> {
    const { store, registry, instance, clock } = this.#options
    const state = this.#state(pool)
    const sent = new Map(state.waiting)
    const keys = ['be', 'lease', 'ver', 'inst', `load:${instance}`].map((part) => `shared:{${pool}}:${part}`)
    const changes = [...sent].flatMap(([id, { kind, payload }]) => [kind, id, payload])
    const answer = this.#read(
      pool,
      await store.run(EXCHANGE, keys, [instance, this.#load(pool), state.version, ...changes]),
    )
    // A change that was replaced during the exchange is sent in the next round.
    for (const [id, change] of sent) if (state.waiting.get(id) === change) state.waiting.delete(id)
    state.version = answer.version
    state.receivedAt = clock.now()
    registry.join(pool, (membership) => this.#merge(membership, state, answer))
    this.#spread(pool, answer.loads)
  }

  #read(pool: string, raw: unknown): StoreReply {
    const { signer } = this.#options
    if (!signer) return read(raw, (text) => text)
    let unverified = 0
    const reply = read(raw, (text) => {
      const record = verifiedRecord(pool, text, signer)
      if (record === undefined) unverified++
      return record
    })
    if (unverified > 0) this.#unverified(pool, unverified)
    return reply
  }

  /** Whoever can write to the store can do so without end, so only some of it is logged. */
  #unverified(pool: string, records: number): void {
    const { clock, log } = this.#options
    const now = clock.now()
    if (now - this.#warnedAt < WARNED_MS) return
    this.#warnedAt = now
    log.warn('shared.unverified', { pool, records })
  }

  #merge(membership: Membership, state: PoolState, { now: storeNow, records, leases }: StoreReply): void {
    const { clock, machine } = this.#options
    const now = clock.now()
    const leftMs = (id: string) => (leases.get(id) ?? storeNow) - storeNow
    if (records) {
      state.generations.clear()
      for (const record of records) {
        state.generations.set(record.id, record.generation)
        if (!state.waiting.has(record.id))
          adopt(membership, record, { now, machine, leftMs: leftMs(record.id) })
      }
      this.#republish(membership, state)
    }
    for (const member of membership.present.values()) {
      const generation = state.generations.get(member.id)
      if (generation !== undefined && !state.waiting.has(member.id) && leases.has(member.id))
        extend(member, generation, { now, leftMs: leftMs(member.id) })
    }
  }

  /** Writes again the members that the store does not have, because it is new or has lost them. */
  #republish({ pool, present }: Membership, state: PoolState): void {
    for (const { id, source, drain } of present.values()) {
      const isKnown = state.generations.has(id) || state.waiting.has(id)
      if (source === 'registered' && !drain && !isKnown)
        this.#options.clock.after(0, () => this.#changed({ pool, id, kind: 'changed' }))
    }
  }

  #load(pool: string): string {
    const { registry, inflight } = this.#options
    const running: Record<string, number> = {}
    for (const { id, slot } of registry.view(pool)?.backends ?? []) {
      const calls = inflight(slot)
      if (calls > 0) running[id] = (running[id] ?? 0) + calls
    }
    return JSON.stringify(running)
  }

  #spread(pool: string, loads: readonly Readonly<Record<string, number>>[]): void {
    const { registry, peers } = this.#options
    for (const { id, slot } of registry.view(pool)?.backends ?? []) {
      peers(
        slot,
        loads.reduce((sum, load) => sum + (load[id] ?? 0), 0),
      )
    }
  }

  #state(pool: string): PoolState {
    const known = this.#pools.get(pool)
    if (known) return known
    const state = { version: '', receivedAt: -Infinity, waiting: new Map(), generations: new Map() }
    this.#pools.set(pool, state)
    return state
  }
}

/** `verified`: the record's own text, or undefined for one that is not believed. */
function read(raw: unknown, verified: (text: string) => string | undefined): StoreReply {
  const [now, version, records, leases, loads] = raw as [string, string, string[] | null, string[], string[]]
  const deadlines = new Map<string, number>()
  for (let at = 0; at + 1 < leases.length; at += 2) deadlines.set(leases[at] ?? '', Number(leases[at + 1]))
  return {
    now: Number(now),
    version,
    records: records?.flatMap((text) => readRecord(verified(text) ?? '') ?? []),
    leases: deadlines,
    loads: loads.map(readLoad),
  }
}

/** The running calls of another gateway, by backend; invalid counts are dropped. */
function readLoad(text: string): Record<string, number> {
  try {
    const load = Object(JSON.parse(text)) as Record<string, unknown>
    const counts = Object.entries(load).filter(([, count]) => Number.isSafeInteger(count))
    return Object.fromEntries(counts) as Record<string, number>
  } catch {
    return {}
  }
}
