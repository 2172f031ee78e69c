/** One thread of the data plane: its cache, its data plane, and the listener in front of it. */
import type { Settings } from '../../config/schema.ts'
import type { TlsMaterial } from '../../control/certificates/certificates.ts'
import type { HostPort } from '../../core/addresses.ts'
import type { Observer } from '../../core/observer.ts'
import type { KeyFacts } from '../../data/assemble.ts'
import type { OutlierState } from '../../data/balance/outliers/outlier-state.ts'
import type { LoadTable } from '../../data/balance/table.ts'
import type { CallOutbox } from '../../data/calls/call-outbox.ts'
import type { LimitTable } from '../../data/decision/limit-table.ts'
import type { QuotaTable } from '../../data/decision/quota-table.ts'
import type { Claims } from '../../data/flight/claims.ts'
import type { RequestRelay } from '../../data/generation/relayed-generation.ts'
import { type DataListener, listen } from '../../data/ingress/server.ts'
import type { ShownForm } from '../../data/key/forms.ts'
import type { VersionStatement } from '../../data/key/statements.ts'
import type { Recorder } from '../../data/record/recorder.ts'
import type { Finding } from '../../data/rows/splitter.ts'
import type { Clock } from '../../lib/clock.ts'
import type { EventLoopLag } from '../../lib/event-loop-lag.ts'
import type { HandshakeOutcome } from '../../lib/tls/terminator.ts'
import { Wheel } from '../../lib/wheel.ts'
import type { ProcessLog } from '../../obs/log.ts'
import type { Cache } from '../cache.ts'
import { DataPlane } from '../data-plane.ts'
import type { Parts } from '../parts.ts'
import type { PoolDefaults } from '../settings-mapping.ts'
import type { LiveTls } from '../tls.ts'

export interface DataWorkerParts {
  readonly settings: Settings
  readonly poolDefaults: PoolDefaults
  /** The certificates of this thread. */
  readonly tls: LiveTls
  readonly customParts: Parts
  readonly cache: Cache
  /** The measurement of this thread, already started. */
  readonly eventLoopLag: EventLoopLag
  readonly facts: KeyFacts
  readonly table: LoadTable
  readonly outliers: OutlierState
  readonly claims: Claims | undefined
  /** As in `DataPlaneParts`. */
  readonly requestRelay: RequestRelay
  readonly limits: LimitTable
  readonly quotas: QuotaTable
  readonly observer: Observer
  /** Called at the end of each TLS handshake. */
  readonly handshake: (outcome: HandshakeOutcome) => void
  /** Called for each connection that is closed because it begins in another protocol. */
  readonly foreign: () => void
  readonly log: ProcessLog
  readonly clock: Clock
  readonly random: () => number
  /** The gateway's own listeners: a backend at such an address is refused. */
  readonly ownListeners: () => readonly HostPort[]
  /** As in `DataPlaneParts`. */
  readonly stated: (statement: VersionStatement) => void
  readonly redeployed: (pool: string, model: string) => Promise<void>
  readonly keyMissing: (jwks: string) => Promise<void>
  readonly split?: (found: Finding) => void
  readonly formShown?: (shown: ShownForm) => void
  readonly recorder: Recorder
  readonly outbox: CallOutbox
}

/** Interval at which slow start, ejections and queues are updated. */
export const TICK_MS = 100

export class DataWorker {
  readonly plane: DataPlane
  readonly #parts: DataWorkerParts
  readonly #wheel: Wheel
  #listener: DataListener | undefined
  #opening: Promise<DataListener> | undefined
  #isLeaving = false
  #ticking: NodeJS.Timeout | undefined

  constructor(parts: DataWorkerParts) {
    this.#parts = parts
    this.#wheel = new Wheel(parts.clock)
    this.plane = new DataPlane({ ...parts, wheel: this.#wheel })
  }

  start(): void {
    this.plane.start()
    this.#ticking = setInterval(() => this.plane.pools.tick(), TICK_MS).unref()
  }

  get isListening(): boolean {
    return this.#listener !== undefined
  }

  async listen(at: HostPort): Promise<HostPort> {
    const { settings, table, tls, handshake, foreign } = this.#parts
    const { limits, fastDoor } = settings.server
    const { server } = tls
    this.#opening = listen(
      {
        ...at,
        isShared: table.workers > 1,
        maxHeaderBytes: limits.maxHeaderBytes,
        headerTimeoutMs: limits.headerTimeout,
        bodyTimeoutMs: limits.bodyTimeout,
        keepAliveTimeoutMs: limits.keepAliveTimeout,
        maxConnections: Math.ceil(limits.maxConnections / table.workers),
        fastDoor,
        tls: server,
        handshake,
        foreign,
        wheel: this.#wheel,
      },
      this.plane.ingress,
    )
    const listener = await this.#opening
    this.#listener = listener
    // What has changed since it began to open.
    if (tls.server !== server) listener.secure(tls.server)
    if (this.#isLeaving) listener.leave()
    const { address: host, port } = listener.address
    return { host, port }
  }

  reload(settings: Settings): void {
    this.plane.reload(settings)
    this.#parts.log.setLevel(settings.log.level)
  }

  /** Takes over changed certificates for new connections; open ones stay as they are. */
  secure(material: TlsMaterial): void {
    const { tls } = this.#parts
    tls.material = material
    this.plane.pools.secure()
    this.#listener?.secure(tls.server)
  }

  /** Still takes calls, but closes each connection with its answer. */
  leave(): void {
    this.#isLeaving = true
    this.#listener?.leave()
  }

  /** A listener that is being opened is drained as soon as it is open. */
  async drain(timeoutMs: number): Promise<void> {
    const listener = await this.#opening?.catch(() => undefined)
    await listener?.drain(timeoutMs)
    this.#parts.recorder.flush()
    this.#parts.outbox.flush()
  }

  async close(): Promise<void> {
    clearInterval(this.#ticking)
    await this.plane.close()
    await this.#parts.cache.close()
    this.#wheel.close()
  }
}
