import { expect, it } from 'vitest'
import { silentLog } from '../../../../src/core/log.ts'
import { type CacheDecision, createCacheDecisions } from '../../../../src/data/decision/cache-decision.ts'
import { Deployments } from '../../../../src/data/key/deployment.ts'
import { Epochs } from '../../../../src/data/key/epochs.ts'
import { createKeyer, type Keyer } from '../../../../src/data/key/keyer.ts'
import { createRouter, type Matched, type OpenMatched } from '../../../../src/data/route/routes.ts'
import { settle } from '../../../../src/data/route/settle.ts'
import { callOf } from '../../../../src/testing/protocol-call.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { CACHE } from '../../../support/pipeline.ts'
import { slip } from '../../../support/slip.ts'

const clock = new FakeClock()
const facts = { shared: undefined, clock, log: silentLog, changed: () => {} }
const keyer = createKeyer({ epochs: new Epochs(facts), deployments: new Deployments(facts), clock })
const route = createRouter([
  { name: 'main', match: {}, protocols: [slip], pool: 'main', timeout: 1000, pure: true, cache: CACHE },
])
const open = route({ method: 'POST', host: 'h', path: '/slip', headers: [] }) as OpenMatched
const settled = (model: string) => settle(open, Buffer.from(`model ${model}\n1\n`)) as Matched
const call = callOf(Buffer.alloc(0), { path: '/slip' })

it('the decision for a route that a body settled is kept for calls that name the same model, until something changes', async () => {
  let revision = 1
  let seeds = 0
  const counting: Keyer = {
    get revision() {
      return revision
    },
    seed(...asked) {
      seeds++
      return keyer.seed(...asked)
    },
    head: keyer.head,
  }
  const decisions = createCacheDecisions(counting)
  const notes: { decision?: CacheDecision } = {}
  const digestFor = async (model: string) =>
    (await decisions.of(call, settled(model), notes)).key?.seed.digest as string
  const ant = await digestFor('ant')
  expect(await digestFor('ant')).toBe(ant)
  expect(seeds).toBe(1)
  const bee = await digestFor('bee')
  expect(bee).not.toBe(ant)
  expect(await digestFor('bee@2')).not.toBe(bee)
  expect(await digestFor('ant')).toBe(ant)
  expect(seeds).toBe(4)
  revision++
  await digestFor('ant')
  expect(seeds).toBe(5)
})
