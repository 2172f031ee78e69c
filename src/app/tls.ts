/** The certificates of the gateway: which `tls` blocks there are, what is in force in each thread, and what people are told. */
import type { Settings } from '../config/schema.ts'
import {
  Certificates,
  type CertificatesOptions,
  type TlsBlock,
  type TlsMaterial,
} from '../control/certificates/certificates.ts'
import type { ClientTls, ServerTls } from '../lib/tls/material.ts'
import type { Metrics } from '../obs/metrics.ts'

export { CertificateError } from '../control/certificates/files.ts'

/** The certificates in force in one thread; replaced as a whole. */
export class LiveTls {
  material: TlsMaterial

  constructor(material: TlsMaterial) {
    this.material = material
  }

  /** Of the data port. */
  get server(): ServerTls | undefined {
    return this.material.servers[SERVER]
  }

  get admin(): ServerTls | undefined {
    return this.material.servers[ADMIN]
  }

  keda(listen: string): ServerTls | undefined {
    return this.material.servers[kedaBlock(listen)]
  }

  pool(name: string): ClientTls | undefined {
    return this.material.clients[poolBlock(name)]
  }

  tier(name: string): ClientTls | undefined {
    return this.material.clients[tierBlock(name)]
  }
}

/** Reads the certificates that the settings name; `metrics` tells when they expire. */
export function createCertificates(
  options: CertificatesOptions & { readonly metrics: Metrics },
): Certificates {
  const certificates = new Certificates(options)
  options.metrics.gauge('infergate_tls_certificate_expiry_timestamp_seconds', () =>
    certificates.expiring.map(({ name, file, notAfter }) => ({
      labels: { tls: name, file },
      value: notAfter / 1000,
    })),
  )
  return certificates
}

/**
 * Every `tls` block of the settings, by where it stands. `started`: the settings at the start, which decide whether a
 * listener speaks TLS.
 */
export function tlsBlocks(next: Settings, started: Settings): Map<string, TlsBlock> {
  const { pools, cache } = next
  const listeners: readonly (readonly [string, TlsBlock | undefined])[] = [
    [SERVER, started.server.tls && (next.server.tls ?? started.server.tls)],
    [ADMIN, started.admin.tls && (next.admin.tls ?? started.admin.tls)],
  ]
  const blocks = new Map<string, TlsBlock>()
  for (const [name, block] of listeners) if (block) blocks.set(name, block)
  for (const tier of cache.tiers)
    if (tier.type === 'redis' && tier.tls) blocks.set(tierBlock(tier.name), tier.tls)
  for (const [name, pool] of Object.entries(pools)) {
    if (pool.tls) blocks.set(poolBlock(name), pool.tls)
    for (const emitter of pool.scale?.emit ?? [])
      if (emitter.type === 'keda' && emitter.tls) blocks.set(kedaBlock(emitter.listen), emitter.tls)
  }
  return blocks
}

const SERVER = 'server.tls'
const ADMIN = 'admin.tls'
const kedaBlock = (listen: string): string => `tls of keda at ${listen}`
const poolBlock = (pool: string): string => `pools.${pool}.tls`
const tierBlock = (tier: string): string => `tls of cache tier ${tier}`
