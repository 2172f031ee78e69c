import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { digestOf } from '../../../../../src/core/key.ts'
import { guardTier } from '../../../../../src/data/cache/tiers/guard.ts'
import { Unfit, Unwritable } from '../../../../../src/data/cache/tiers/tier.ts'
import type { TierObserver } from '../../../../../src/data/cache/tiers/tier-observer.ts'
import { FakeClock } from '../../../../support/fake-clock.ts'
import { FakeTier, type TierFault } from '../../../../support/fake-tier.ts'
import { settled } from '../../../../support/settled.ts'

function setup() {
  const clock = new FakeClock()
  const tier = new FakeTier({ clock })
  const told: string[] = []
  const logged: string[] = []
  const note = (event: string) => void logged.push(event)
  const observer: TierObserver = {
    tier: (name, op, outcome) => void told.push(`${name} ${op} ${outcome}`),
    unverified: () => {},
  }
  const guard = guardTier(tier, {
    clock,
    random: () => 0.5,
    observer,
    log: { info: note, warn: note, error: note },
    readTimeout: 20,
    writeTimeout: 50,
    maxEntryBytes: 1_000,
  })
  const get = async () => (await settled(clock, guard.getMany([digestOf('k')]))).value
  const fail = async (fault: TierFault, times: number) => {
    tier.fault = () => fault
    for (let n = 0; n < times; n++) await get()
    tier.fault = () => 'none'
  }
  return { clock, tier, guard, told, logged, get, fail }
}

describe('a guarded tier', () => {
  it('passes through what the tier does', async () => {
    const { clock, guard, told } = setup()
    await settled(clock, guard.set(digestOf('k'), Buffer.from('v'), 1_000))
    const found = await guard.getMany([digestOf('k'), digestOf('absent')])
    expect(found.map((value) => value && Buffer.from(value).toString())).toEqual(['v', undefined])
    expect(await guard.claim('f', 'a')).toBe('a')
    expect(await guard.facts(['f'])).toEqual(['a'])
    expect(told).toEqual(['fake set ok', 'fake get hit', 'fake claim ok', 'fake facts ok'])
  })

  it('asks the tier once for what the calls of one turn look for', async () => {
    const { tier, guard, told } = setup()
    await Promise.all([guard.getMany([digestOf('a')]), guard.getMany([digestOf('b'), digestOf('a')])])
    expect([tier.calls, told]).toEqual([1, ['fake get miss']])
    await Promise.all([guard.getMany([digestOf('a')]), guard.getMany([digestOf('b')], 5)])
    expect(tier.calls).toBe(3)
  })

  it.each<[TierFault]>([['error'], ['throw'], ['hang']])(
    'turns "%s" into a miss and never rejects',
    async (fault) => {
      const { clock, tier, guard } = setup()
      tier.fault = () => fault
      const d = digestOf('k')
      expect((await settled(clock, guard.getMany([d, d]))).value).toEqual([undefined, undefined])
      expect((await settled(clock, guard.set(d, Buffer.from('v'), 1))).value).toBe(false)
      expect((await settled(clock, guard.delete(d))).value).toBe(false)
      expect((await settled(clock, guard.claim('f', 'a'))).value).toBeUndefined()
      await settled(clock, guard.close())
    },
  )

  it('bounds a hanging tier by the read timeout, or by a smaller budget', async () => {
    const { clock, tier, guard } = setup()
    tier.fault = () => 'hang'
    expect((await settled(clock, guard.getMany([digestOf('k')]))).tookMs).toBe(20)
    expect((await settled(clock, guard.getMany([digestOf('k')], 7))).tookMs).toBe(7)
    expect(clock.pending).toBe(0)
  })

  it('opens after five failures, says so once, and then asks nothing', async () => {
    const { tier, guard, told, logged, get, fail } = setup()
    await fail('error', 5)
    expect([guard.state, tier.calls, logged]).toEqual(['open', 5, ['tier.open']])
    await get()
    expect([tier.calls, told.at(-1)]).toEqual([5, 'fake get skipped'])
  })

  it('lets one probe through after two seconds and closes when it succeeds', async () => {
    const { clock, tier, guard, logged, get, fail } = setup()
    await fail('hang', 5)
    clock.advance(1_999)
    await get()
    expect(tier.calls).toBe(5)
    clock.advance(1)
    tier.fault = () => ({ delayMs: 5 })
    const probe = guard.getMany([digestOf('k')])
    // What is asked for in the same turn is part of the probe.
    await turn()
    await guard.getMany([digestOf('other')])
    expect([tier.calls, guard.state]).toEqual([6, 'probing'])
    await settled(clock, probe)
    expect([guard.state, logged]).toEqual(['closed', ['tier.open', 'tier.closed']])
  })

  it('doubles its hold up to a minute while probes fail, and logs nothing more', async () => {
    const { clock, tier, logged, fail } = setup()
    await fail('error', 5)
    const holds: number[] = []
    tier.fault = () => 'error'
    for (let n = 0; n < 7; n++) {
      const calls = tier.calls
      const start = clock.now()
      while (tier.calls === calls) {
        clock.advance(500)
        await fail('error', 1)
      }
      holds.push(clock.now() - start)
    }
    expect(holds).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
    expect(logged).toEqual(['tier.open'])
  })

  it('opens on slowness alone: four in five of at least twenty', async () => {
    const { guard, fail } = setup()
    await fail({ delayMs: 18 }, 19)
    expect(guard.state).toBe('closed')
    await fail({ delayMs: 18 }, 1)
    expect(guard.state).toBe('open')
  })

  it('stays closed through rare failures under heavy traffic, and forgets them after ten seconds', async () => {
    const { clock, guard, fail } = setup()
    for (let n = 0; n < 8; n++) {
      await fail('none', 40)
      await fail('error', 1)
    }
    expect(guard.state).toBe('closed')
    const quiet = setup()
    await quiet.fail('error', 4)
    quiet.clock.advance(10_001)
    await quiet.fail('none', 1)
    await quiet.fail('error', 4)
    expect(quiet.guard.state).toBe('closed')
    expect(clock.pending).toBe(0)
  })

  it('does not blame the tier for a budget that was cut short', async () => {
    const { clock, tier, guard } = setup()
    tier.fault = () => 'hang'
    for (let n = 0; n < 10; n++) await settled(clock, guard.getMany([digestOf('k')], 5))
    expect(guard.state).toBe('closed')
  })

  it('asks nothing without a connection, and asks again the moment there is one', async () => {
    const { tier, guard, told, logged, get } = setup()
    tier.connected = false
    for (let n = 0; n < 10; n++) await get()
    expect([tier.calls, guard.state, told.at(-1)]).toEqual([0, 'open', 'fake get skipped'])
    tier.connected = true
    await get()
    expect([tier.calls, guard.state]).toEqual([1, 'closed'])
    expect(logged).toEqual(['tier.disconnected', 'tier.connected'])
  })

  it('does not send what is too large, and does not blame the tier for it', async () => {
    const { tier, guard } = setup()
    for (let n = 0; n < 6; n++) expect(await guard.set(digestOf('k'), Buffer.alloc(1_001), 1)).toBe(false)
    expect([tier.calls, guard.state]).toEqual([0, 'closed'])
  })

  it('goes on looking where nothing can be written, and tries a write now and then', async () => {
    const { clock, tier, guard, logged, get } = setup()
    await settled(clock, guard.set(digestOf('k'), Buffer.from('v'), 60_000))
    const set = tier.set.bind(tier)
    tier.set = async () => Promise.reject(new Unwritable('OOM command not allowed'))
    tier.claim = async () => Promise.reject(new Unwritable('OOM command not allowed'))
    for (let n = 0; n < 30; n++) {
      expect(await guard.set(digestOf(`${n}`), Buffer.from('v'), 60_000)).toBe(false)
      expect(await guard.claim('f', 'v')).toBeUndefined()
      expect(await get()).toEqual([Uint8Array.of(118)])
    }
    expect([guard.state, guard.writes, logged]).toEqual(['closed', 'open', ['tier.open']])
    expect([guard.takes(digestOf('k'), 1), guard.takes(digestOf('k'), 1_001)]).toEqual([false, false])
    tier.set = set
    clock.advance(2_000)
    expect([guard.takes(digestOf('k'), 1), await guard.set(digestOf('k'), Buffer.from('w'), 60_000)]).toEqual(
      [true, true],
    )
    expect([guard.writes, await get()]).toEqual(['closed', [Uint8Array.of(119)]])
  })

  it('does not charge the tier for the time in which this thread could not look', async () => {
    const clock = new FakeClock()
    const tier = new FakeTier({ clock })
    let stalled = 0
    const guard = guardTier(tier, { clock, readTimeout: 20, stalled: () => stalled })
    const slowly = async (ms: number, ours: number) => {
      tier.fault = () => ({ delayMs: ms })
      const found = guard.getMany([digestOf('k')])
      await turn()
      stalled += ours
      await settled(clock, found)
    }
    for (let n = 0; n < 40; n++) await slowly(18, 10)
    for (let n = 0; n < 40; n++) await slowly(30, 15)
    expect(guard.state).toBe('closed')
    clock.advance(10_000)
    for (let n = 0; n < 40; n++) await slowly(18, 0)
    expect(guard.state).toBe('open')
  })

  it('remembers for a minute what size did not fit, and does not blame the tier for it', async () => {
    const { clock, tier, guard } = setup()
    tier.set = async (_, value) => {
      if (value.length >= 100) throw new Unfit('object too large')
    }
    for (let n = 0; n < 10; n++) expect(await guard.set(digestOf('k'), Buffer.alloc(100), 1)).toBe(false)
    expect([guard.writes, guard.takes(digestOf('k'), 100), guard.takes(digestOf('k'), 99)]).toEqual([
      'closed',
      false,
      true,
    ])
    clock.advance(60_000)
    expect(guard.takes(digestOf('k'), 100)).toBe(true)
  })

  it('says that it is refused, once for each reason', async () => {
    const { tier, guard, logged, get } = setup()
    let refusal: string | undefined
    Object.defineProperty(tier, 'refusal', { get: () => refusal })
    tier.connected = false
    await get()
    refusal = 'the password is wrong'
    for (let n = 0; n < 3; n++) await get()
    expect([guard.trouble, guard.refusal]).toEqual([refusal, refusal])
    refusal = undefined
    tier.connected = true
    await get()
    expect([guard.trouble, logged]).toEqual([
      undefined,
      ['tier.disconnected', 'tier.refused', 'tier.connected'],
    ])
  })

  it('treats an answer that does not fit the keys as a failure', async () => {
    const { tier, guard, told } = setup()
    tier.getMany = async () => [Buffer.from('x')]
    expect(await guard.getMany([digestOf('a'), digestOf('b')])).toEqual([undefined, undefined])
    expect(told).toEqual(['fake get error'])
  })
})
