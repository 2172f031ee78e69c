/** Deployment tokens of one and of several gateways, on a clock and a tier that the test owns. */
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { Target } from '../../../../src/core/call.ts'
import { silentLog } from '../../../../src/core/log.ts'
import type { DeploymentToken } from '../../../../src/data/key/deployed.ts'
import { Deployments } from '../../../../src/data/key/deployment.ts'
import type { FactStore } from '../../../../src/data/key/epochs.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { FakeTier } from '../../../support/fake-tier.ts'

const POOL = 'ranker'
const target: Target = { verb: 'predict', model: 'iris', prediction: true }
const FACT = 'deploy:ranker/iris'

/** As the guard around a tier: a failure is undefined or false. */
function factsOf(tier: FakeTier): FactStore {
  return {
    claim: (name, value) => tier.claim(name, value).catch(() => undefined),
    facts: (names) => tier.facts(names).catch(() => undefined),
    publish: (name, value) =>
      tier.publish(name, value).then(
        () => true,
        () => false,
      ),
  }
}

function gateway(clock: FakeClock, tier?: FakeTier) {
  const log = { changes: 0, unknown: [] as string[] }
  const deployments = new Deployments({
    shared: tier && factsOf(tier),
    clock,
    log: silentLog,
    changed: () => log.changes++,
    unknown: (pool, model) => log.unknown.push(`${pool}/${model}`),
  })
  deployments.start()
  const learn = (evidence: string, versions?: string[], otherwiseAt?: number) =>
    deployments.learn({ pool: POOL, model: 'iris', evidence, ...(versions ? { versions } : {}), otherwiseAt })
  const token = () => deployments.peek(POOL, target)
  /** After the waits of a first call are over. */
  const load = async () => {
    const loading = deployments.load(POOL, target)
    await settle()
    clock.advance(1000)
    return loading
  }
  return { deployments, learn, token, load, log }
}

/** What gateways share of a token. */
const stampOf = (token: DeploymentToken | undefined) => token?.value.split('/')[0] as string

const settle = async () => {
  for (let i = 0; i < 20; i++) await turn()
}

const seconds = async (clock: FakeClock, count = 1) => {
  for (let i = 0; i < count; i++) {
    clock.advance(1000)
    await settle()
  }
}

describe('a gateway alone', () => {
  it('keeps its token while nothing new is deployed, and never uses one again', async () => {
    const clock = new FakeClock()
    const { learn, token, load, log } = gateway(clock)
    const first = await load()
    learn('1@')
    expect(token()).toBe(first)
    learn('1@')
    expect(log.changes).toBe(0)
    const seen = new Set([first.value])
    for (const evidence of ['2@', '1@', '2@', '1@']) {
      learn(evidence)
      seen.add(token()?.value as string)
    }
    expect(seen.size).toBe(5)
    expect(log.changes).toBe(4)
  })

  it('has a token at once, shared with all gateways there are', async () => {
    const { deployments, log } = gateway(new FakeClock())
    expect(await deployments.load(POOL, target)).toMatchObject({ shared: true })
    expect(log.unknown).toEqual(['ranker/iris'])
  })

  it('does not take first evidence that comes late for that of the answers it kept before', async () => {
    const clock = new FakeClock()
    const { learn, token, load } = gateway(clock)
    const first = await load()
    clock.advance(5000)
    learn('1@')
    expect(token()?.value).not.toBe(first.value)
  })

  it('has one token for each model of each pool', async () => {
    const { deployments } = gateway(new FakeClock())
    const tokens = await Promise.all([
      deployments.load(POOL, target),
      deployments.load(POOL, { ...target, model: 'other' }),
      deployments.load('elsewhere', target),
      deployments.load(POOL, { verb: 'predict', prediction: true }),
    ])
    expect(new Set(tokens.map(({ value }) => value)).size).toBe(4)
  })

  it('keeps what backends told when callers invent names', async () => {
    const { deployments, learn, token } = gateway(new FakeClock())
    learn('1@')
    const before = token()
    for (let i = 0; i < 3000; i++) await deployments.load(POOL, { ...target, model: `invented ${i}` })
    expect(token()).toBe(before)
    expect(deployments.calledModels(POOL)).toHaveLength(1024)
    expect(deployments.calledModels(POOL)).toContain('iris')
  })
})

describe('an answer', () => {
  it.each([
    ['of a version that is deployed', '2', ['1', '2'], true],
    ['of a version not yet noticed', '3', ['1', '2'], false],
    ['of a version nobody tells', undefined, ['1'], true],
    ['of a model whose versions nobody tells', '1', undefined, true],
  ])('%s may be kept: %s', (_name, version, versions, wanted) => {
    const { deployments, learn } = gateway(new FakeClock())
    learn('whatever', versions)
    expect(deployments.mayKeep(POOL, target, version)).toBe(wanted)
  })
})

describe('gateways with one tier', () => {
  it('agree on the token of what both see', async () => {
    const clock = new FakeClock()
    const tier = new FakeTier()
    const [a, b] = [gateway(clock, tier), gateway(clock, tier)]
    a.learn('1@')
    b.learn('1@')
    const tokens = [await a.load(), await b.load()]
    expect(tokens[0]).toMatchObject({ shared: true })
    expect(tokens[1]).toEqual(tokens[0])
  })

  it('agree although one of them notices a deployment later', async () => {
    const clock = new FakeClock()
    const tier = new FakeTier()
    const [a, b] = [gateway(clock, tier), gateway(clock, tier)]
    for (const each of [a, b]) each.learn('1@')
    const before = [await a.load(), await b.load()]
    a.learn('2@')
    expect(a.token()?.value).not.toBe(before[0]?.value)
    await settle()
    await seconds(clock)
    // What the other one has noticed ends the old answers here too; but its own backends still say the old version.
    expect(stampOf(b.token())).toBe(stampOf(a.token()))
    expect(b.token()).not.toEqual(a.token())
    const agreed = a.token()
    b.learn('2@')
    await seconds(clock, 2)
    expect([a.token(), b.token()]).toEqual([agreed, agreed])
  })

  it.each([
    ['a stamp that was made after the old version was last seen', -1500, true],
    ['no stamp that may be of an earlier deployment of the version', 500, false],
  ])('adopt %s', async (_name, seenAfterPoll, isAdopted) => {
    const clock = new FakeClock()
    const tier = new FakeTier()
    const [a, b] = [gateway(clock, tier), gateway(clock, tier)]
    for (const each of [a, b]) each.learn('1@')
    for (const each of [a, b]) await each.load()
    await seconds(clock)
    const polledAt = clock.now()
    clock.advance(600)
    a.learn('2@')
    await settle()
    const theirs = a.token()
    b.learn('2@', undefined, polledAt + seenAfterPoll)
    await settle()
    expect(stampOf(b.token()) === stampOf(theirs)).toBe(isAdopted)
    await seconds(clock, 2)
    expect(a.token()).toEqual(b.token())
    expect(a.token()?.value === theirs?.value).toBe(isAdopted)
  })

  it('end with the last published token when both notice at once', async () => {
    const clock = new FakeClock()
    const tier = new FakeTier()
    const all = [gateway(clock, tier), gateway(clock, tier), gateway(clock, tier)]
    for (const each of all) each.learn('1@')
    for (const each of all) await each.load()
    const before = all[0]?.token()
    for (const each of all) each.learn('2@')
    // In step, as here, each round half of those that had a later one try again.
    await seconds(clock, 20)
    const tokens = all.map((each) => each.token())
    expect(new Set(tokens.map((token) => token?.value)).size).toBe(1)
    expect(tokens.every((token) => token?.shared)).toBe(true)
    expect(tokens[0]?.value).not.toBe(before?.value)
    expect(tier.facts_.get(FACT)).toContain(stampOf(tokens[0]))
  })

  it('make a new token for a rollback', async () => {
    const clock = new FakeClock()
    const tier = new FakeTier()
    const [a, b] = [gateway(clock, tier), gateway(clock, tier)]
    const seen = new Set<string>()
    for (const evidence of ['1@', '2@', '1@']) {
      a.learn(evidence)
      b.learn(evidence)
      await a.load()
      await b.load()
      await seconds(clock, 2)
      expect(b.token()).toEqual(a.token())
      seen.add(a.token()?.value as string)
    }
    expect(seen.size).toBe(3)
  })

  it('replace a lost token by a new one', async () => {
    const clock = new FakeClock()
    const tier = new FakeTier()
    const [a, b] = [gateway(clock, tier), gateway(clock, tier)]
    for (const each of [a, b]) each.learn('1@')
    const before = [await a.load(), await b.load()]
    tier.facts_.clear()
    await seconds(clock, 2)
    expect(a.token()).toMatchObject({ shared: true })
    expect(b.token()).toEqual(a.token())
    expect(a.token()?.value).not.toBe(before[0]?.value)
  })

  it('start with the token of the others, before they have asked any backend', async () => {
    const clock = new FakeClock()
    const tier = new FakeTier()
    const a = gateway(clock, tier)
    a.learn('1@')
    const token = await a.load()
    const b = gateway(clock, tier)
    // Nothing is added before its own backends have said what they have: theirs may be others.
    expect(await b.load()).toEqual({ ...token, writable: false })
    b.learn('1@')
    await seconds(clock)
    expect(b.token()).toEqual(token)
  })

  it('throw nothing away for a model that is called for the first time', async () => {
    const clock = new FakeClock()
    const tier = new FakeTier()
    const a = gateway(clock, tier)
    a.learn('1@')
    await a.load()
    const b = gateway(clock, tier)
    b.learn('1@')
    await b.load()
    expect([a.log.changes, b.log.changes]).toEqual([0, 0])
    a.learn('2@')
    await settle()
    await seconds(clock)
    expect([a.log.changes, b.log.changes]).toEqual([1, 1])
  })

  it('that start after a deployment nobody saw leave the old token', async () => {
    const clock = new FakeClock()
    const tier = new FakeTier()
    const a = gateway(clock, tier)
    a.learn('1@')
    const old = await a.load()
    a.deployments.stop()
    const b = gateway(clock, tier)
    await b.load()
    b.learn('2@')
    expect(b.token()?.value).not.toBe(old.value)
    await seconds(clock)
    expect(tier.facts_.get(FACT)).toContain(stampOf(b.token()))
  })

  it('share nothing under a token that no evidence stands behind', async () => {
    const clock = new FakeClock()
    const tier = new FakeTier()
    const { load, log } = gateway(clock, tier)
    expect(await load()).toMatchObject({ shared: false })
    expect(log.unknown).toEqual(['ranker/iris'])
    expect(tier.facts_.size).toBe(0)
  })

  it('wait for first evidence when a model is first called', async () => {
    const clock = new FakeClock()
    const { deployments, learn } = gateway(clock, new FakeTier())
    const loading = deployments.load(POOL, target)
    await settle()
    learn('1@')
    await settle()
    expect(await loading).toMatchObject({ shared: true })
  })

  it('hold up nobody who has less time, and what he is told leads nowhere later', async () => {
    const clock = new FakeClock()
    const { deployments, learn, token } = gateway(clock, new FakeTier())
    const [patient, hurried] = [deployments.load(POOL, target), deployments.load(POOL, target, 50)]
    await settle()
    clock.advance(50)
    const early = await hurried
    expect(early).toMatchObject({ shared: false, writable: false })
    expect(token()).toBeUndefined()
    learn('1@')
    expect((await patient).value).not.toBe(early.value)
  })
})

describe('while the tier cannot be asked', () => {
  it('tokens are private, and agreed on when it is back', async () => {
    const clock = new FakeClock()
    const tier = new FakeTier()
    tier.fault = () => 'error'
    const [a, b] = [gateway(clock, tier), gateway(clock, tier)]
    for (const each of [a, b]) each.learn('1@')
    expect(await a.load()).toMatchObject({ shared: false })
    expect(await b.load()).toMatchObject({ shared: false })
    await seconds(clock, 3)
    expect(a.token()).toMatchObject({ shared: false })
    tier.fault = () => 'none'
    await seconds(clock, 2)
    expect(a.token()).toMatchObject({ shared: true })
    expect(b.token()).toEqual(a.token())
  })

  it('a deployment and its rollback do not bring back the token of before', async () => {
    const clock = new FakeClock()
    const tier = new FakeTier()
    const { learn, load, token } = gateway(clock, tier)
    learn('1@')
    const before = await load()
    tier.fault = () => 'error'
    learn('2@')
    await seconds(clock)
    expect(token()).toMatchObject({ shared: false })
    learn('1@')
    tier.fault = () => 'none'
    await seconds(clock, 2)
    expect(token()).toMatchObject({ shared: true })
    expect(token()?.value).not.toBe(before.value)
    expect(tier.facts_.get(FACT)).toContain(stampOf(token()))
  })

  it('first evidence is waited for all the same', async () => {
    const clock = new FakeClock()
    const tier = new FakeTier()
    tier.fault = () => 'hang'
    const { deployments, learn, token } = gateway(clock, tier)
    const first = deployments.load(POOL, target)
    await settle()
    clock.advance(100)
    await settle()
    const second = deployments.load(POOL, target)
    learn('1@')
    expect((await first).value).toBe((await second).value)
    expect(token()).toBe(await first)
  })

  it('a known token stays', async () => {
    const clock = new FakeClock()
    const tier = new FakeTier()
    const { learn, load, token } = gateway(clock, tier)
    learn('1@')
    const before = await load()
    tier.fault = () => 'error'
    await seconds(clock, 5)
    expect(token()).toBe(before)
  })
})

it('a stopped part leaves no timer behind', async () => {
  const clock = new FakeClock()
  const { deployments, learn } = gateway(clock, new FakeTier())
  learn('1@')
  await settle()
  deployments.stop()
  await settle()
  expect(clock.pending).toBe(0)
})
