/** Calls under one key of which a backend takes one and refuses the other: nobody hears what was said to somebody else. */
import { expect, it } from 'vitest'
import {
  createWorld,
  json,
  predictions,
  type Script,
  type Told,
  type World,
} from '../../../support/pipeline.ts'

const BODY = '{"instances":[1]}'
/** The same to a key. */
const SPACED = '{ "instances" : [1] }'

/** Refuses the first for something that no key covers. */
const picky: Script = ({ serial }) =>
  serial === 1 ? json('{"error":"no"}', ['content-length', '14'], 400) : predictions([serial])

const ask = (world: World, body = BODY, headers: readonly string[] = []) =>
  world.run(world.gateways[0]?.ask(body, { headers }) as Promise<Told>)

it('is kept for the same bytes under the same fields, ids and traces aside', async () => {
  const world = createWorld({ cache: { negativeTtl: 10_000, rows: 'never' }, script: picky })
  const first = await ask(world, BODY, ['x-long', 'y', 'traceparent', '1'])
  expect(first.cacheStatus).toContain('fwd-status=400; stored')
  const again = await ask(world, BODY, ['x-long', 'y', 'traceparent', '2'])
  expect([again.text, again.cacheStatus]).toEqual([first.text, expect.stringMatching(/; hit; /)])
  await world.pass(10_100)
  expect((await ask(world, BODY, ['x-long', 'y'])).cacheStatus).toContain('fwd=miss')
})

it.each([
  ['another field', BODY, ['x-short', 'y']],
  ['another value of it', BODY, ['x-long', 'z']],
  ['another spelling of the body', SPACED, []],
])('is not for %s', async (_, body, headers) => {
  const world = createWorld({ cache: { negativeTtl: 10_000, rows: 'never' }, script: picky })
  expect((await ask(world, BODY, ['x-long', 'y'])).status).toBe(400)
  expect(await ask(world, body, headers)).toMatchObject({ status: 200, predictions: [2] })
  // And the good answer is for all, as ever.
  expect(await ask(world, BODY)).toMatchObject({ status: 200, predictions: [2] })
})

it('is not kept where an id may be what is refused', async () => {
  const world = createWorld({ cache: { negativeTtl: 10_000, rows: 'never' }, script: picky })
  const headers = ['x-long', 'y', 'x-correlation-id', 'z'.repeat(9000)]
  expect((await ask(world, BODY, headers)).cacheStatus).not.toContain('stored')
  expect((await ask(world, BODY, headers)).status).toBe(200)
})

it.each([
  [400, 0],
  [400, 10_000],
  [401, 0],
  [500, 0],
])('a %i is told to those who joined with the same bytes alone (kept %i ms)', async (status, negativeTtl) => {
  const world = createWorld({ cache: { negativeTtl, rows: 'never' } })
  world.script = async ({ headers, serial }) => {
    await new Promise((resolve) => world.clock.after(50, () => resolve(undefined)))
    return headers.includes('x-long') ? json(`{"error":"${serial}"}`, [], status) : predictions([serial])
  }
  const gateway = world.gateways[0]
  if (!gateway) throw new Error('no gateway')
  const bad = { headers: ['x-long', 'y'] }
  const told = await world.run(
    Promise.all([
      gateway.ask(BODY, bad),
      gateway.ask(BODY, bad),
      gateway.ask(BODY),
      gateway.ask(SPACED),
      gateway.ask(BODY),
    ]),
  )
  expect(told.map((one) => one.status)).toEqual([status, status, 200, 200, 200])
  expect(told[1]?.text).toBe(told[0]?.text)
  // One for the bad ones, one for the good.
  expect(world.asked.length).toBe(2)
})

it('what says nothing of the call is told to all who wait', async () => {
  const world = createWorld({ cache: { rows: 'never' } })
  world.script = async () => {
    await new Promise((resolve) => world.clock.after(50, () => resolve(undefined)))
    return json('{"error":"full"}', [], 503)
  }
  const gateway = world.gateways[0]
  if (!gateway) throw new Error('no gateway')
  const told = await world.run(Promise.all([gateway.ask(BODY), gateway.ask(SPACED)]))
  expect([told.map(({ status }) => status), world.asked.length]).toEqual([[503, 503], 1])
})
