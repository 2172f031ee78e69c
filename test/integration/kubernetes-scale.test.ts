/** The scale subresource, against an API server with the real wire format. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createKubernetesScale } from '../../src/control/scale/kubernetes.ts'
import type { Emitter } from '../../src/control/scale/signal.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { eventually } from '../support/eventually.ts'
import { type KubeScale, startKubeScale } from '../support/kube-scale.ts'
import { signalFor } from '../support/signals.ts'

let api: KubeScale
let emitter: Emitter
let warnings: unknown[]
let refusedTokens: unknown[]

beforeEach(async () => {
  api = await startKubeScale('ranker')
  warnings = []
  refusedTokens = []
  const quiet = () => {}
  emitter = createKubernetesScale({
    kind: 'Deployment',
    namespace: 'ml',
    name: 'ranker',
    async server(refusedToken) {
      if (refusedToken !== undefined) refusedTokens.push(refusedToken)
      return { url: api.url, token: 'secret', ca: undefined }
    },
    clock: systemClock,
    log: { info: quiet, error: quiet, warn: (_, data) => void warnings.push(data) },
    random: Math.random,
  })
})
afterEach(async () => {
  emitter.close()
  await api.close()
})

it('patches the number under the version it has read, and not again when it is said again', async () => {
  emitter.emit(signalFor('ranker', 4))
  await eventually(() => expect(api.replicas).toBe(4))
  expect(api.patches).toEqual([
    {
      type: 'application/merge-patch+json',
      token: 'Bearer secret',
      body: { metadata: { resourceVersion: '100' }, spec: { replicas: 4 } },
    },
  ])
  emitter.emit(signalFor('ranker', 4))
  emitter.emit(signalFor('ranker', 2))
  await eventually(() => expect(api.replicas).toBe(2))
  expect(api.patches).toHaveLength(2)
})

it('reads again when somebody changed the object in between', async () => {
  api.interfere = 9
  emitter.emit(signalFor('ranker', 3))
  await eventually(() => expect(api.replicas).toBe(3))
  expect(api.patches).toHaveLength(2)
})

it.each(['hpa', 'scaledObjects'] as const)(
  'leaves an object alone that another autoscaler has: %s',
  async (rival) => {
    api[rival].push('ranker')
    emitter.emit(signalFor('ranker', 3))
    await eventually(() => expect(warnings).toHaveLength(1))
    expect(warnings).toMatchObject([
      { error: expect.stringMatching(/"of-ranker" scales the same object: remove one/) },
    ])
    expect(api.patches).toEqual([])
  },
)

it('minds no autoscaler of another object', async () => {
  api.hpa.push('other')
  emitter.emit(signalFor('ranker', 3))
  await eventually(() => expect(api.replicas).toBe(3))
})

it('goes on trying while the API server fails, and ends with the newest number', async () => {
  api.status = 500
  emitter.emit(signalFor('ranker', 3))
  await eventually(() => expect(warnings).toHaveLength(1))
  emitter.emit(signalFor('ranker', 5))
  api.status = undefined
  await eventually(() => expect(api.replicas).toBe(5))
  expect(api.patches).toHaveLength(1)
})

it('asks for another token where the API server refuses the one it has', async () => {
  api.status = 401
  emitter.emit(signalFor('ranker', 3))
  await eventually(() => expect(refusedTokens).toContain('secret'))
  api.status = undefined
  await eventually(() => expect(api.replicas).toBe(3))
})

it('does not listen to a leader that has been followed by another', async () => {
  emitter.emit(signalFor('ranker', 3, 8))
  await eventually(() => expect(api.replicas).toBe(3))
  emitter.emit(signalFor('ranker', 7, 7))
  emitter.emit(signalFor('ranker', 4, 8))
  await eventually(() => expect(api.replicas).toBe(4))
  expect(api.patches).toHaveLength(2)
})
