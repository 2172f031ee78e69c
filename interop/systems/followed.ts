/** A model that a gateway follows at a store: published there by the store's own client, asked at the gateway. */
import { join } from 'node:path'
import type { SettingsInput } from '../../src/config/schema.ts'
import { timesModel } from '../../test/support/onnx-graph.ts'
import { ask, isHit } from '../suite/ask.ts'
import { eventually } from '../suite/eventually.ts'
import type { Gateway } from '../suite/gateway.ts'
import type { Session } from '../suite/session.ts'

const POLL_MS = 2_000
/** Beside the poll: the fetch, the look of the model's process, every second, and the load. */
const LOAD_MS = 3_000
const PATIENCE = { timeoutMs: 60_000 }

/** A store as its own tools write it. */
export interface PublishedStore {
  /** Puts a whole model where version `version` belongs. */
  publish(version: number, model: Buffer): Promise<void>
}

/** The settings of a gateway that follows the model `times` at `source`. */
export function following(session: Session, source: string, stores: SettingsInput['stores']): SettingsInput {
  return {
    models: [{ name: 'times', source, poll: `${POLL_MS}ms`, cache: { ttl: '1h', scope: 'shared' } }],
    stores: { ...stores, dir: join(session.folder, 'models'), timeout: '3s' },
  }
}

/** A model whose answer says which version it is: one times `factor`. */
export const model = (factor: number): Buffer => timesModel(factor)

/** What the model answers to 1, and whether that came from the cache. Throws where it does not answer. */
export async function product(gateway: Gateway): Promise<{ value: unknown; hit: boolean }> {
  const answer = await ask(gateway.url, {
    path: '/v1/models/times:predict',
    fields: { 'content-type': 'application/json' },
    body: '{"instances":[1]}',
  })
  if (answer.status !== 200) throw new Error(`status ${answer.status}: ${answer.body.toString()}`)
  const { predictions } = JSON.parse(answer.body.toString()) as { predictions: unknown[] }
  return { value: predictions[0], hit: isHit(answer) }
}

/** Asks without a pause until the answer changes from `before` to `after`; rejects with any other answer on the way. */
async function turned(gateway: Gateway, before: number, after: number): Promise<number> {
  const began = performance.now()
  for (;;) {
    const { value } = await product(gateway)
    if (value === after) return performance.now() - began
    if (value !== before) throw new Error(`${String(value)} is the answer of no version`)
    if (performance.now() - began > PATIENCE.timeoutMs) throw new Error(`still ${before} after a minute`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** The checks that hold for every store: first version, cache, new version within a poll, none of the old answers. */
export async function tryPublished(
  session: Session,
  gateway: Gateway,
  { publish }: PublishedStore,
): Promise<void> {
  const group = 'a model that is published'
  await session.check(group, 'the first version serves, and its answers are cached', async () => {
    await publish(1, model(2))
    await eventually(() => product(gateway), PATIENCE)
    // What was answered while the version was still being registered is not kept for it.
    return eventually(async () => {
      const { value, hit } = await product(gateway)
      if (value === 2 && !hit) throw new Error('answered, but not from the cache')
      return value === 2 ? undefined : `answered ${String(value)}`
    }, PATIENCE)
  })
  await session.check(group, 'a new version serves within a poll, and no old answer after it', async () => {
    await publish(2, model(3))
    const ms = await turned(gateway, 2, 3)
    for (let n = 0; n < 50; n++) {
      const { value } = await product(gateway)
      if (value !== 3) return `answered ${String(value)} after the new version`
    }
    return ms <= POLL_MS + LOAD_MS ? undefined : `it took ${Math.round(ms)} ms at a poll of ${POLL_MS} ms`
  })
}

/** The group of what is tried while a store is away. */
export const AWAY = 'the store killed in the middle'

/** Rejects where the gateway is not ready, or does not say that its store is away. */
export async function saysAway({ admin }: Gateway): Promise<void> {
  const { body, status } = await ask(admin, { path: '/readyz' })
  if (status !== 200 || !body.toString().includes('its store is away'))
    throw new Error(`/readyz does not say it: ${body.toString()}`)
}

/** The store is killed, the gateway answers on and says it; back again, what is published is served. */
export async function tryAway(
  session: Session,
  gateway: Gateway,
  store: PublishedStore & { kill(): Promise<void>; restart(): Promise<void> },
): Promise<void> {
  await session.check(AWAY, 'every call is answered meanwhile, and right', async () => {
    await store.kill()
    await eventually(async () => {
      const { value } = await product(gateway)
      if (value !== 3) throw new Error(`answered ${String(value)}`)
      await saysAway(gateway)
    }, PATIENCE)
    return undefined
  })
  await session.check(AWAY, 'back again, nothing is lost and a new version is served', async () => {
    await store.restart()
    await store.publish(3, model(5))
    await turned(gateway, 3, 5)
    return undefined
  })
}
