/** A registry, its health checks and the admin listener on real sockets, without a data plane. */

import type { AdminParts } from '../../src/control/admin/contract.ts'
import { AdminServer, type AdminSettings } from '../../src/control/admin/server.ts'
import { DEFAULT_HEALTH, Health, type HealthSettings } from '../../src/control/health/health.ts'
import { createProbe } from '../../src/control/health/probe.ts'
import type { PoolDeclaration } from '../../src/control/registry/registration.ts'
import { Registry } from '../../src/control/registry/registry.ts'
import { createAddressRules, type HostPort } from '../../src/core/addresses.ts'
import { type Log, silentLog } from '../../src/core/log.ts'
import { EVERYTHING, namesOfPurge } from '../../src/data/key/epoch-names.ts'
import { systemClock } from '../../src/lib/clock.ts'

export interface ControlPlaneOptions {
  readonly pools?: readonly PoolDeclaration[]
  readonly admin?: Partial<AdminSettings>
  readonly parts?: Partial<AdminParts>
  readonly health?: Partial<HealthSettings>
  readonly log?: Log
}

export interface ControlPlane {
  readonly port: number
  readonly registry: Registry
  readonly admin: AdminServer
  close(): Promise<void>
}

export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const own: HostPort[] = []
  const rules = createAddressRules({ ownListeners: own })
  const clock = systemClock
  const registry = new Registry({ clock, log: silentLog, inflight: () => 0 })
  registry.declare(options.pools ?? [{ name: 'ranker' }])
  const settings = { ...DEFAULT_HEALTH, ...options.health }
  const health = new Health({
    registry,
    clock,
    probe: createProbe(rules),
    random: Math.random,
    settings: () => settings,
  })
  const parts: AdminParts = {
    ready: () => ({ ok: true, reasons: [] }),
    metrics: async () => ({ contentType: 'text/plain; version=0.0.4', body: 'infergate_up 1\n' }),
    purge: async (request) => ({
      unreachable: 'all' in request ? [EVERYTHING] : namesOfPurge(request),
      shared: true,
    }),
    explain: async (request) => ({ explained: request }),
    stats: () => ({ tiers: [] }),
    tenants: async (name) => (name === undefined ? { tenants: [] } : undefined),
    routes: () => [],
    weigh: () => undefined,
    mirror: () => {},
    traffic: () => undefined,
    ...options.parts,
  }
  const admin = new AdminServer({
    registry,
    rules,
    parts,
    clock,
    log: options.log ?? silentLog,
    settings: { host: '127.0.0.1', port: 0, tokens: [], openMetrics: false, hosts: [], ...options.admin },
  })
  const bound = await admin.listen()
  own.push(bound)
  health.start()
  return {
    port: bound.port,
    registry,
    admin,
    async close() {
      health.stop()
      registry.close()
      await admin.close()
    },
  }
}
