/**
 * The composition root: builds the parts of the gateway, connects the planes, and stops everything in order. Pool views
 * and settings go down to the data plane, reports go up.
 */
import { randomBytes } from 'node:crypto'
import { poolWith } from '../config/schema/pools.ts'
import type { Settings } from '../config/schema.ts'
import { AdminServer } from '../control/admin/server.ts'
import type { Certificates } from '../control/certificates/certificates.ts'
import { DeclaredForms } from '../control/deployments/declared-forms.ts'
import { Versions } from '../control/deployments/versions.ts'
import { createProbe } from '../control/health/probe.ts'
import { ALONE } from '../control/scale/alone.ts'
import type { HostPort } from '../core/addresses.ts'
import type { SharedStore } from '../core/shared.ts'
import { type Clock, systemClock } from '../lib/clock.ts'
import { Delay } from '../lib/delay.ts'
import type { ProcessLog } from '../obs/log.ts'
import { createMetrics, type Metrics } from '../obs/metrics.ts'
import { AdminCallers } from './admin-callers.ts'
import { adminParts } from './admin-parts.ts'
import { backendRules } from './backend-rules.ts'
import { GatewayCredentials } from './credentials.ts'
import { Discovery } from './discovery.ts'
import { Ejections } from './ejections.ts'
import { EmbeddedModels } from './embedded-models.ts'
import { secureScalers } from './emitters.ts'
import { measureGateway, measureReloads, type Problems } from './gateway-metrics.ts'
import {
  type AdminSources,
  closeParts,
  createRegistry,
  type GatewayParts,
  problemsOf,
  tick,
  unservedModels,
  withTraffic,
} from './gateway-parts.ts'
import type { LoadedParts } from './parts.ts'
import { createScaleGroup, createShared, createSharedLimits, openPeers } from './peers.ts'
import { measurePools } from './pool-metrics.ts'
import { type InheritedSockets, workerCount } from './ports.ts'
import { createProbing, startProbing } from './probing.ts'
import { createRollouts } from './rollout/rollouts.ts'
import { RouteMirrors } from './route-mirrors.ts'
import { RouteWeights } from './route-weights.ts'
import { Scaling } from './scaling.ts'
import { adminSettings, isGuarded, poolDeclarations } from './settings-mapping.ts'
import { createCertificates, LiveTls, tlsBlocks } from './tls.ts'
import { createGatewayWarming } from './warming.ts'
import { type DataPlanes, openDataPlanes } from './workers/open-data-planes.ts'

export interface GatewayOptions {
  readonly settings: Settings
  readonly log: ProcessLog
  /** The program that serves embedded models, with its first arguments. */
  readonly modelServer: readonly [string, ...string[]]
  /** Custom parts that the settings name, from `loadParts`. */
  readonly parts?: LoadedParts
  readonly inherited?: InheritedSockets
  readonly clock?: Clock
  readonly random?: () => number
}

/** Interval at which slow start, ejections and queues are updated. */
const TICK_MS = 100
/** Time after which modules that the start did not need are loaded. */
const SETTLED_MS = 1_000

export class Gateway {
  readonly metrics: Metrics = createMetrics()
  readonly #options: GatewayOptions
  readonly #clock: Clock
  readonly #random: () => number
  readonly #ownListeners: HostPort[] = []
  readonly #token = randomBytes(32).toString('base64url')
  readonly #certificates: Certificates
  readonly #tls: LiveTls
  readonly #callers: AdminCallers
  readonly #announcement: Delay
  readonly #rules = backendRules(() => this.#settings, this.#ownListeners)
  readonly #keyMissing = async (jwks: string) => this.#parts?.credentials.keyMissing(jwks)
  #settings: Settings
  #parts: GatewayParts | undefined
  #isOpen = false
  #draining = false
  #ticking: NodeJS.Timeout | undefined
  #preparing: (() => void) | undefined
  /** Embedded models that have been ready once. The gateway is not ready before all of them were. */
  readonly #started = new Set<string>()
  /** To be called when settings were refused; `reload` tells of those that it has applied. */
  readonly reloaded: (isApplied: boolean) => void
  /** Messages of the reload for /readyz. */
  notes: () => readonly string[] = () => []

  constructor(options: GatewayOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#random = options.random ?? Math.random
    this.#announcement = new Delay(this.#clock)
    this.#settings = options.settings
    this.#certificates = createCertificates({
      clock: this.#clock,
      log: options.log,
      metrics: this.metrics,
      changed: () => this.#secure(),
    })
    this.#tls = new LiveTls(this.#certificates.material)
    this.#callers = new AdminCallers({ ...options, clock: this.#clock, keyMissing: this.#keyMissing })
    this.reloaded = measureReloads(this.metrics, () => this.#clock.wall())
    measureGateway(this.metrics, {
      log: options.log,
      ready: () => this.#ready(),
      problems: () => this.#problems(),
    })
  }

  /** Opens both listeners. Rejects with an Error that names the fix; then nothing is left open. */
  async start(): Promise<{ readonly data: HostPort; readonly admin: HostPort }> {
    try {
      return await this.#start()
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  async #start(): Promise<{ readonly data: HostPort; readonly admin: HostPort }> {
    const { log } = this.#options
    const settings = this.#settings
    await this.#certificates.follow(tlsBlocks(settings, settings))
    this.#tls.material = this.#certificates.material
    const data = await this.#openData()
    const parts = this.#assemble(
      data,
      await openPeers(settings, this.#tls).catch(async (error: unknown) => {
        await data.close()
        throw error
      }),
    )
    this.#parts = parts
    await parts.credentials.follow(settings)
    parts.registry.declare(poolDeclarations(settings))
    parts.registry.follow((view) => {
      data.apply(view)
      if (view.backends.some(({ state }) => state === 'ready')) this.#started.add(view.pool)
    })
    startProbing(parts)
    this.#ticking = setInterval(() => tick(parts), TICK_MS).unref()
    parts.shared?.start()
    await parts.sharedLimits.follow(settings)
    data.start()
    parts.discovery.follow(settings)
    const admin = await parts.admin.listen()
    this.#ownListeners.push(admin)
    const at = await data.listen()
    this.#ownListeners.push(at)
    this.#isOpen = true
    this.#preparing = this.#clock.after(SETTLED_MS, () => void this.metrics.prepare())
    await parts.models.start(settings)
    await parts.scaling.follow(settings)
    parts.scaleGroup?.start()
    parts.rollouts.start()
    const pools = poolDeclarations(settings).map(({ name }) => name)
    log.info('gateway.listening', { data: at, admin, workers: data.workers, pools })
    return { data: at, admin }
  }

  /**
   * Applies the settings that may change while calls run. Rejects, and changes nothing, where they name certificates or
   * credentials that cannot be used.
   */
  async reload(settings: Settings): Promise<void> {
    const parts = this.#parts
    if (!parts) return
    const secured = await this.#certificates.prepare(tlsBlocks(settings, this.#options.settings))
    await parts.credentials.follow(settings)
    await parts.sharedLimits.follow(settings)
    secured()
    this.#secure()
    this.#callers.follow(settings)
    parts.admin.update(adminSettings(settings, this.#token, this.#tls))
    parts.data.reload(withTraffic(parts, settings))
    parts.registry.declare(poolDeclarations(settings))
    parts.discovery.follow(settings)
    void parts.scaling
      .follow(settings)
      .catch((error: unknown) => this.#options.log.error('scale.emitter', { error: String(error) }))
    this.#options.log.setLevel(settings.log.level)
    this.#settings = settings
    for (const view of parts.registry.views()) parts.data.apply(view)
    this.reloaded(true)
  }

  /**
   * Stops in order: unready, but still serving (`server.shutdownDelay`, where `isAnnounced`); no new calls, running calls
   * finish (within the drain timeout), models, admin, tiers. Resolves when everything is closed; never rejects.
   */
  async stop({ isAnnounced = false } = {}): Promise<void> {
    if (this.#draining) return
    this.#draining = true
    const { log } = this.#options
    this.#certificates.stop()
    if (isAnnounced && this.#isOpen) await this.#announce(this.#settings.server.shutdownDelay)
    log.info('gateway.draining', { timeoutMs: this.#settings.server.drainTimeout })
    const drained = () => {
      clearInterval(this.#ticking)
      this.#preparing?.()
    }
    const drainMs = this.#settings.server.drainTimeout
    if (this.#parts) await closeParts(this.#parts, { log, drainMs, drained })
    log.info('gateway.stopped')
  }

  /** Ends the shutdown delay, in which calls are still taken; returns false where it is not in progress. */
  hurry(): boolean {
    return this.#announcement.cut()
  }

  /**
   * Announces the shutdown and waits: /readyz tells balancers and `Connection: close` tells clients to stop sending.
   */
  async #announce(delayMs: number): Promise<void> {
    if (delayMs === 0) return
    this.#options.log.info('gateway.leaving', { delayMs })
    this.#parts?.data.leave()
    await this.#announcement.wait(delayMs)
  }

  /** Takes over changed certificates for new connections; open ones stay as they are. */
  #secure(): void {
    this.#tls.material = this.#certificates.material
    this.#parts?.data.secure(this.#tls.material)
    this.#parts?.admin.secure(this.#tls.admin)
    secureScalers(this.#tls)
  }

  async #openData(): Promise<DataPlanes> {
    return openDataPlanes({
      settings: this.#settings,
      workers: await workerCount(this.#settings, this.#options.log),
      poolDefaults: poolWith().parse({}),
      inherited: this.#options.inherited,
      tls: this.#tls,
      parts: this.#options.parts,
      log: this.#options.log,
      metrics: this.metrics,
      clock: this.#clock,
      random: this.#random,
      ownListeners: () => this.#ownListeners,
      // Reports that come before the control plane exists are dropped.
      unknownModel: (pool: string, model: string) => this.#parts?.versions.query(pool, model),
      alive: (pool: string, backend: string) => this.#parts?.registry.proofOfLife(pool, backend),
      stated: (statement) => this.#parts?.versions.stated(statement),
      redeployed: (pool: string, model: string) => this.#parts?.versions.changed(pool, model),
      deployed: (pool) => this.#parts?.warming.versions.deployed(pool),
      keyMissing: this.#keyMissing,
    })
  }

  #assemble(data: DataPlanes, store: SharedStore | undefined): GatewayParts {
    const { log, parts: { parts: customParts = {} } = {} } = this.#options
    const clock = this.#clock
    const random = this.#random
    const registry = createRegistry({ clock, log, random, data, metrics: this.metrics })
    const settings = () => this.#settings
    const pools = () => Object.keys(settings().pools)
    const shared = store && createShared(store, { registry, data, clock, log, pools, settings: settings() })
    const models = this.#models()
    const scaleGroup = store && createScaleGroup(store, { clock, log })
    const seen = { registry, data, clock, log, random, tls: this.#tls, metrics: this.metrics }
    const led = { ...seen, group: scaleGroup ?? ALONE }
    const isTierDown = () => data.isTierDown()
    const scaling = new Scaling({ ...led, processes: models.processes, isTierDown, customParts })
    const probe = createProbe(this.#rules)
    const credentials = new GatewayCredentials({ clock, log, random, data, admin: this.#callers })
    measurePools(seen, settings)
    const credential = (pool: string) => credentials.ofPool(pool)
    const { health, loads, probed } = createProbing({ ...seen, probe, settings, credential })
    const forms = new DeclaredForms({ registry, clock, probe, declared: (form) => data.declareForm(form) })
    const versions = new Versions({
      registry,
      clock,
      probe: forms.probe,
      settings: probed,
      models: (pool) => data.facts.deployments.calledModels(pool),
      deployed: (deployed) => {
        if (data.facts.deployments.learn(deployed)) scaling.cacheLost('deployment', deployed.pool)
      },
    })
    const weights = new RouteWeights({ settings: this.#settings, metrics: this.metrics, data })
    const mirrors = new RouteMirrors({ settings: this.#settings, data })
    const warming = createGatewayWarming({ ...seen, settings, role: () => scaleGroup?.role() })
    const traffic = { scaling, weights, mirrors, warming }
    const rollouts = createRollouts({ ...led, ...traffic, settings, store })
    const admin = this.#admin({ registry, data, ...traffic, rollouts })
    const discovery = new Discovery({ registry, clock, log, random, customParts })
    const sharedLimits = createSharedLimits({ ...seen, settings: this.#options.settings })
    const ejections = new Ejections({ ...seen, publish: (event) => admin.backendChanged(event) })
    const kept = { registry, health, loads, versions, discovery, credentials, models, scaleGroup, shared }
    return { data, admin, ...traffic, rollouts, sharedLimits, ejections, ...kept }
  }

  #admin(parts: AdminSources): AdminServer {
    return new AdminServer({
      clock: this.#clock,
      log: this.#options.log,
      registry: parts.registry,
      rules: this.#rules,
      identify: (request) => this.#callers.identify(request),
      settings: adminSettings(this.#settings, this.#token, this.#tls),
      handshake: (outcome) =>
        this.metrics.count('infergate_tls_handshakes_total', { tls: 'admin.tls', outcome }),
      parts: adminParts({
        ...parts,
        clock: this.#clock,
        lines: this.#options.log.recent,
        metrics: this.metrics,
        ready: () => this.#ready(),
        settings: () => this.#settings,
      }),
    })
  }

  #models(): EmbeddedModels {
    return new EmbeddedModels({
      clock: this.#clock,
      random: this.#random,
      log: this.#options.log,
      metrics: this.metrics,
      modelServer: this.#options.modelServer,
      ownListeners: () => this.#ownListeners,
      token: () => (isGuarded(this.#settings.admin) ? this.#token : undefined),
    })
  }

  #ready(): { ok: boolean; reasons: readonly string[] } {
    if (this.#draining) return { ok: false, reasons: ['draining: the gateway is going down'] }
    const unserved = unservedModels(this.#settings, this.#started)
    const notes = Object.values(this.#problems()).flat()
    return { ok: this.#isOpen && unserved.length === 0, reasons: [...unserved, ...notes] }
  }

  /** These are reported, but do not make it unready. */
  #problems(): Problems {
    const found = this.#parts ? problemsOf(this.#parts) : {}
    return { ...found, certificates: this.#certificates.reasons, config: this.notes() }
  }
}
