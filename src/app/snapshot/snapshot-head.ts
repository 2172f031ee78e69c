/** The head of a snapshot: who wrote it and when, and what the keys of its records cover. */
import { createHash } from 'node:crypto'
import type { Settings } from '../../config/schema.ts'
import type { KeptDeployment, KeptEpoch } from '../../data/key/kept-facts.ts'
import { isStamp } from '../../data/key/stamp.ts'

export interface SnapshotHead {
  /** Of this file. */
  readonly id: string
  /** Of the process that wrote it. */
  readonly owner: string
  /** Wall milliseconds at which that process started. */
  readonly startedAt: number
  /** Wall milliseconds from which the lives of the records count. */
  readonly writtenAt: number
  /** Of what `settingsDigest` covers. */
  readonly settings: string
  /** The epoch of purges by key that gateways share; undefined: this gateway shares no tier. */
  readonly purgedKeys?: string | undefined
  /** Empty where gateways share them. */
  readonly epochs: readonly KeptEpoch[]
  readonly deployments: readonly KeptDeployment[]
}

/** Undefined: no head, or not one of ours. */
export function readSnapshotHead(value: unknown): SnapshotHead | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const head = value as { readonly [K in keyof SnapshotHead]?: unknown }
  const isWhole =
    [head.id, head.owner, head.settings].every((text) => typeof text === 'string') &&
    [head.startedAt, head.writtenAt].every(Number.isFinite) &&
    (head.purgedKeys === undefined || typeof head.purgedKeys === 'string') &&
    Array.isArray(head.epochs) &&
    head.epochs.every(isEpoch) &&
    Array.isArray(head.deployments) &&
    head.deployments.every(isDeployment)
  return isWhole ? (head as SnapshotHead) : undefined
}

function isEpoch(value: unknown): boolean {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === 'string' && isStampText(value[1])
}

function isDeployment(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const { pool, model, evidence, stamp } = value as { readonly [K in keyof KeptDeployment]?: unknown }
  return [pool, model, evidence].every((text) => typeof text === 'string') && isStampText(stamp)
}

function isStampText(value: unknown): boolean {
  return typeof value === 'string' && isStamp(value)
}

/**
 * A digest of the settings that say what an answer is and who may have it. Keys cover most of them; where a restart has changed
 * any, nothing of the file is used, as nothing was without one. A backend that answers otherwise under the same name is seen here.
 */
export function settingsDigest({ cache, routes, pools, models, auth }: Settings): string {
  const what = {
    defaults: cache.defaults,
    tiers: cache.tiers.map((tier) => (tier.type === 'memory' ? tier.type : tier)),
    routes,
    pools: Object.entries(pools).map(([name, { backends, discovery }]) => [
      name,
      backends.map(({ url, grpc, models: offered }) => [url, grpc, offered]),
      discovery,
    ]),
    models: models.map(({ name, source }) => [name, source]),
    auth: auth !== undefined,
  }
  return createHash('sha256').update(JSON.stringify(what)).digest('base64url')
}
