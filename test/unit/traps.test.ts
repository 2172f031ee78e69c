/**
 * The ways in which caches before models have failed their callers, tried on the whole pipeline. Each test carries
 * the number of its trap in the project's list; those of keys and answers alone (T2 among them) are
 * tried in protocol/traps.test.ts, T22 with the herds in property/pipeline-purge.test.ts.
 */
import { describe, expect, it } from 'vitest'
import { GatewayError } from '../../src/core/errors.ts'
import {
  type AskOptions,
  bodyOf,
  createWorld,
  json,
  later,
  predictions,
  type TestGateway,
  type Told,
  type World,
} from '../support/pipeline.ts'

const gatewayOf = (world: World, at = 0) => world.gateways[at] as TestGateway
const ask = (world: World, body: string, options: AskOptions = {}, at = 0): Promise<Told> =>
  world.run(gatewayOf(world, at).ask(body, options))
const by = (key: string) => ({ headers: ['authorization', key] })

describe('wrong hits', () => {
  it('T1: a member that only one of two calls has brings another answer', async () => {
    const world = createWorld({ script: ({ serial }) => predictions([serial]) })
    expect((await ask(world, '{"instances":[1]}')).predictions).toEqual([1])
    expect((await ask(world, '{"instances":[1],"temperature":0.5}')).predictions).toEqual([2])
    expect((await ask(world, '{"instances":[1],"temperature":0.6}')).predictions).toEqual([3])
  })

  it('T3: an error is no success for the next caller, with its status or without a body', async () => {
    const world = createWorld()
    world.script = () => json('', [], 500)
    expect((await ask(world, bodyOf([1]))).status).toBe(500)
    world.script = ({ instances }) => predictions(instances)
    expect((await ask(world, bodyOf([1]))).predictions).toEqual([1])
  })

  it('T3: a success without predictions is not kept as the answer to rows', async () => {
    const world = createWorld({ script: () => json('{}') })
    expect((await ask(world, bodyOf([1, 2]))).cacheStatus).not.toMatch(/stored/)
  })

  it('T4: two models with the same inputs have answers of their own', async () => {
    const world = createWorld({ script: ({ serial }) => predictions([serial]) })
    expect((await ask(world, bodyOf([1]), { model: 'm' })).predictions).toEqual([1])
    expect((await ask(world, bodyOf([1]), { model: 'n' })).predictions).toEqual([2])
  })

  it('T5: nobody reads another’s answer, and no field a caller sends chooses a key', async () => {
    const world = createWorld({ gateways: 2, script: ({ caller }) => predictions([caller]) })
    expect((await ask(world, bodyOf([1]), by('a'))).predictions).toEqual(['a'])
    await world.pass(100)
    for (const at of [0, 1]) {
      const told = await ask(world, bodyOf([1]), by('b'), at)
      expect(told.predictions).toEqual(['b'])
    }
    const chosen = [
      'x-cache-key',
      'k',
      'cf-aig-cache-key',
      'k',
      'x-bf-cache-key',
      'k',
      'infergate-cache-partition',
      'k',
    ]
    world.script = ({ serial }) => predictions([serial])
    const one = await ask(world, bodyOf([7]), { headers: chosen })
    const two = await ask(world, bodyOf([8]), { headers: chosen })
    expect(one.predictions).not.toEqual(two.predictions)
  })

  it('T5: what a backend says of one caller’s credentials is said to nobody else, though callers share', async () => {
    for (const status of [401, 403, 429]) {
      const world = createWorld({ cache: { scope: 'shared' }, shared: false })
      world.script = ({ caller, instances }) =>
        later(world.clock, 50, caller === 'bad' ? json('{"error":"no"}', [], status) : predictions(instances))
      const one = gatewayOf(world)
      await ask(world, bodyOf([0]), by('good'))
      const told = await world.run(
        Promise.all(['bad', 'good', 'bad', 'good'].map((key) => one.ask(bodyOf([1]), by(key)))),
      )
      expect(told.map((each) => each.status)).toEqual([status, 200, expect.any(Number), 200])
    }
  })

  it('T5: a cookie set for the caller who led a load is not given to one who joined it, though he has left', async () => {
    const world = createWorld({ cache: { scope: 'shared' }, shared: false })
    world.script = ({ caller, instances }) =>
      later(world.clock, 50, { ...predictions(instances.map(() => caller)), headers: ['set-cookie', caller] })
    const one = gatewayOf(world)
    await ask(world, bodyOf([0]))
    const leaving = new AbortController()
    const led = one.ask(bodyOf([1]), { ...by('a'), signal: leaving.signal })
    const joined = one.ask(bodyOf([1]), by('b'))
    await world.pass(20)
    leaving.abort(new GatewayError('callerLeft', 'gone'))
    expect((await world.run(led)).fault).toBe('callerLeft')
    expect((await world.run(joined)).predictions).toEqual(['b'])
  })

  it('T6: long bodies that differ at their end have answers of their own', async () => {
    const world = createWorld({ cache: { rows: 'never' }, script: ({ serial }) => predictions([serial]) })
    const long = 'x'.repeat(300_000)
    expect((await ask(world, bodyOf([long, 1]))).predictions).toEqual([1])
    expect((await ask(world, bodyOf([long, 2]))).predictions).toEqual([2])
    expect((await ask(world, bodyOf([long, 1]))).predictions).toEqual([1])
  })

  it('T7: nothing but the same input is the same', async () => {
    const world = createWorld({ script: ({ serial }) => predictions([serial]) })
    await ask(world, bodyOf(['enable 2FA']))
    expect((await ask(world, bodyOf(['disable 2FA']))).predictions).toEqual([2])
  })

  it('T9: two ids beyond 2^53 that share a double have answers of their own', async () => {
    const world = createWorld({ script: ({ serial }) => predictions([serial]) })
    await ask(world, '{"instances":[9007199254740992]}')
    expect((await ask(world, '{"instances":[9007199254740993]}')).predictions).toEqual([2])
  })

  it('T10: the order of members does not keep a call from its answer', async () => {
    const world = createWorld({ script: ({ serial }) => predictions([serial]) })
    await ask(world, '{"signature_name":"s","instances":[{"a":1,"b":2}]}')
    expect((await ask(world, '{"instances":[{"b":2,"a":1}],"signature_name":"s"}')).predictions).toEqual([1])
  })

  it('T11: who asks for a new answer gets one, though others join the old', async () => {
    const world = createWorld({ shared: false })
    world.script = ({ serial }) => later(world.clock, 50, predictions([serial]))
    const one = gatewayOf(world)
    const asks = [one.ask(bodyOf([1])), one.ask(bodyOf([1]), { headers: ['cache-control', 'no-cache'] })]
    const [joined, own] = await world.run(Promise.all(asks))
    expect(world.asked.length).toBe(2)
    expect(own?.predictions).not.toEqual(joined?.predictions)
    expect(own?.cacheStatus).toMatch(/fwd=request/)
  })
})

describe('streams', () => {
  const events = ['data: {"a":', '1}\n\ndata: {"reasoning":"r"}\n\n', 'data: [DONE]\n\n']
  const stream = (until: number, fault?: Error) => ({
    status: 200,
    headers: ['content-type', 'text/event-stream'],
    body: (async function* () {
      for (const event of events.slice(0, until)) yield Buffer.from(event)
      if (fault) throw fault
    })(),
  })

  it.each(['always', 'never'] as const)(
    'T14: a stream is passed on as it is, to each caller its own (rows: %s)',
    async (rows) => {
      const world = createWorld({ cache: { rows } })
      world.script = () => later(world.clock, 50, stream(3))
      const one = gatewayOf(world)
      const told = await world.run(Promise.all([1, 2, 3].map(() => one.ask(bodyOf([1])))))
      for (const { text } of told) expect(text).toBe(events.join(''))
      expect(world.asked.length).toBe(3)
      await world.pass(100)
      expect([world.tier?.kept.size, one.cache.stats().memory?.entries]).toEqual([0, 0])
    },
  )

  it('T15: a stream that breaks off is no answer to anybody after', async () => {
    const world = createWorld()
    world.script = () => stream(2, new GatewayError('backendReset', 'reset'))
    expect((await ask(world, bodyOf([1]))).fault).toBe('backendReset')
    world.script = () => stream(3)
    expect((await ask(world, bodyOf([1]))).text).toBe(events.join(''))
  })
})

describe('flights and failures', () => {
  it('T8: a second caller sends nothing, and a hung load keeps nobody beyond the own deadline', async () => {
    const world = createWorld({ script: () => new Promise(() => {}) })
    const one = gatewayOf(world)
    const told = await world.run(
      Promise.all([one.ask(bodyOf([1]), { timeoutMs: 300 }), one.ask(bodyOf([1]), { timeoutMs: 100 })]),
    )
    expect(told.map(({ fault }) => fault)).toEqual(['deadline', 'deadline'])
    expect(told[1]?.ms).toBeLessThanOrEqual(110)
    expect(world.asked.length).toBe(1)
    expect(one.loads).toBe(0)
  })

  it('T12: rows that are mixed of known, equal and new ones stand where they were asked', async () => {
    const world = createWorld()
    await ask(world, bodyOf([1, 2]))
    expect((await ask(world, bodyOf([3, 1, 3, 2, 4]))).predictions).toEqual([3, 1, 3, 2, 4])
    expect(world.asked.at(-1)?.instances).toEqual([3, 4])
  })

  it('T13: a model whose rows depend on their company is not split under `auto`', async () => {
    const world = createWorld({ cache: { rows: 'auto' }, shared: false })
    world.script = ({ instances }) =>
      predictions(instances.map((value) => `${String(value)} of ${instances.length}`))
    for (let i = 0; i < 60; i++) {
      const told = await ask(world, bodyOf([i, i + 1, i + 2]))
      expect(told.predictions).toEqual([i, i + 1, i + 2].map((value) => `${value} of 3`))
    }
  })

  it.each(['error', 'throw', 'hang', 'garbage'] as const)(
    'T16, T17, T18: a shared tier that %ss costs no answer',
    async (fault) => {
      const world = createWorld()
      if (world.tier) world.tier.fault = () => fault
      for (let i = 0; i < 20; i++) expect((await ask(world, bodyOf([i]))).predictions).toEqual([i])
      const calls = world.tier?.calls
      const told = await ask(world, bodyOf([99]))
      // Open by now: it is not even asked, and costs nothing.
      if (fault !== 'garbage') expect([world.tier?.calls, told.ms <= 5]).toEqual([calls, true])
    },
  )

  it('T19: what is kept in memory stays within its bytes, whatever comes', async () => {
    const world = createWorld({ shared: false })
    for (let i = 0; i < 300; i++) await ask(world, bodyOf([`${i}${'x'.repeat(5_000)}`]))
    const memory = gatewayOf(world).cache.stats().memory
    expect(memory?.bytes).toBeLessThanOrEqual(1024 * 1024)
    expect(gatewayOf(world).ready.bytes).toBeLessThanOrEqual(256 * 1024)
  })

  it('T20: a copy from the shared tier dies when the first one does', async () => {
    const world = createWorld({ gateways: 2, script: ({ serial }) => predictions([serial]) })
    await ask(world, bodyOf([1]))
    await world.pass(50_000)
    const copy = await ask(world, bodyOf([1]), {}, 1)
    expect(copy.cacheStatus).toMatch(/; hit; .*detail=shared$/)
    expect(copy.age).toBeGreaterThanOrEqual(49)
    await world.pass(11_000)
    expect((await ask(world, bodyOf([1]), {}, 1)).predictions).toEqual([2])
  })

  it('T21: of many equal calls at once one is asked', async () => {
    const world = createWorld()
    world.script = ({ instances }) => later(world.clock, 50, predictions(instances))
    await world.run(Promise.all(Array.from({ length: 50 }, () => gatewayOf(world).ask(bodyOf([1])))))
    expect(world.asked.length).toBe(1)
  })

  it('T23: a purge by tag reaches what was stored before, and an answer under way when it came', async () => {
    const world = createWorld({ gateways: 2 })
    world.script = ({ serial }) => later(world.clock, 50, predictions([serial]))
    const slow = gatewayOf(world).ask(bodyOf([1]))
    await world.pass(20)
    await world.run(gatewayOf(world).epochs.purge(['tag:t']))
    expect((await world.run(slow)).predictions).toEqual([1])
    expect((await ask(world, bodyOf([1]))).predictions).toEqual([2])
  })

  it('T24: an answer that must be revalidated is never given stale, whatever the caller accepts', async () => {
    const world = createWorld({
      cache: { staleIfError: 600_000, staleWhileRevalidate: 600_000 },
      shared: false,
    })
    world.script = () => json('{"predictions":[1]}', ['cache-control', 'must-revalidate'])
    await ask(world, bodyOf([1]))
    await world.pass(70_000)
    world.script = () => new GatewayError('backendRefused', 'down')
    for (const wish of ['max-stale', 'stale-if-error=600', 'max-age=600'])
      expect((await ask(world, bodyOf([1]), { headers: ['cache-control', wish] })).status).toBe(502)
  })

  it('T25: hits say what they are as misses do', async () => {
    const world = createWorld({ shared: false })
    expect((await ask(world, bodyOf([1]))).cacheStatus).toBe('infergate; fwd=miss; fwd-status=200; stored')
    const { cacheStatus, age } = await ask(world, bodyOf([1]))
    expect(cacheStatus).toBe('infergate; hit; ttl=60; detail=memory')
    expect(age).toBe(0)
  })

  it('T26: a call is told by its body and its type, not by its URL', async () => {
    const world = createWorld({ script: ({ serial }) => predictions([serial]) })
    await ask(world, bodyOf([1]))
    expect((await ask(world, bodyOf([2]))).predictions).toEqual([2])
    const other = await ask(world, bodyOf([1]), { headers: ['content-type', 'application/x-odd'] })
    expect(other.predictions).toEqual([3])
  })

  it('T27: who is refused by the backend gets no hit of somebody who is not, however often', async () => {
    const world = createWorld({
      script: ({ caller, instances }) =>
        caller === 'Bearer good' ? predictions(instances) : json('{"error":"no"}', [], 403),
    })
    for (let i = 0; i < 3; i++) {
      expect((await ask(world, bodyOf([1]), by('Bearer good'))).status).toBe(200)
      expect((await ask(world, bodyOf([1]), by('Bearer bad'))).status).toBe(403)
      expect((await ask(world, bodyOf([1]))).status).toBe(403)
    }
  })

  it('T28: a batch that overlaps costs a row for what is new, and one look-up for all that is not', async () => {
    const world = createWorld({ gateways: 2 })
    const known = Array.from({ length: 120 }, (_, i) => i)
    await ask(world, bodyOf(known))
    await ask(world, bodyOf([999]), {}, 1)
    await world.pass(100)
    const before = world.tier?.calls ?? 0
    const batch = [...known.slice(60), ...Array.from({ length: 8 }, (_, i) => 200 + i), ...known.slice(0, 60)]
    const told = await ask(world, bodyOf(batch), {}, 1)
    expect(told.predictions).toEqual(batch)
    expect(told.cacheStatus).toMatch(/rows hit=120 join=0 miss=8 dup=0/)
    expect(world.asked.at(-1)?.instances).toEqual(batch.slice(60, 68))
    expect((world.tier?.calls ?? 0) - before).toBe(1)
  })
})
