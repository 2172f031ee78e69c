import { describe, expect, it } from 'vitest'
import { GatewayError } from '../../../../src/core/errors.ts'
import { digestOf } from '../../../../src/core/key.ts'
import { Flights, type Load } from '../../../../src/data/flight/flights.ts'
import { Cancel } from '../../../../src/lib/cancel.ts'

const a = digestOf('a')
const b = digestOf('b')
const never = new AbortController().signal
const unlanded = (error: unknown) => `unlanded: ${error instanceof Error ? error.message : String(error)}`

const until = (deadline: number) => ({ deadline, group: 0 })

/** A load under the test's control. */
function controlled() {
  let begin: (load: Load<string>) => void = () => {}
  let end: (error?: Error) => void = () => {}
  const begun = new Promise<Load<string>>((resolve) => {
    begin = resolve
  })
  const ended = new Promise<Error | undefined>((resolve) => {
    end = resolve
  })
  const run = async (load: Load<string>) => {
    begin(load)
    const error = await ended
    if (error) throw error
  }
  return { run, begun, end: (error?: Error) => end(error) }
}

describe('flights', () => {
  it('give one load to all who ask for the same row', async () => {
    const flights = new Flights<string>({ maxWaiters: 100 })
    const { run, begun, end } = controlled()
    const [own] = flights.open([a], run, unlanded)
    const joined = Array.from({ length: 9 }, () => flights.join(a))
    const waits = [own, ...joined].map(async (flight) => flight?.wait(never))
    ;(await begun).land(a, 'answer')
    expect(await Promise.all(waits)).toEqual(Array(10).fill('answer'))
    end()
    expect(flights.size).toBe(0)
  })

  it('go on when the one who opened them leaves and another waits', async () => {
    const flights = new Flights<string>({ maxWaiters: 100 })
    const { run, begun } = controlled()
    const leaver = new AbortController()
    const [own] = flights.open([a], run, unlanded)
    const left = own?.wait(leaver.signal)
    const stays = flights.join(a)?.wait(never)
    leaver.abort(new Error('left'))
    await expect(left).rejects.toThrow('left')
    const load = await begun
    expect(load.signal.aborted).toBe(false)
    load.land(a, 'answer')
    expect(await stays).toBe('answer')
  })

  it('have the time of whoever has the most, as it is when one joins', async () => {
    const flights = new Flights<string>({ maxWaiters: 10 })
    const { run, begun } = controlled()
    const hasty = new Cancel()
    const [own] = flights.open([a], run, unlanded, until(100))
    const left = own?.wait(hasty)
    const load = await begun
    expect([load.deadline, load.isJoined]).toEqual([100, false])
    const stays = flights.join(a, until(500))?.wait(never)
    flights.join(a, until(300))?.wait(never)
    expect([load.deadline, load.isJoined]).toEqual([500, true])
    hasty.abort(new GatewayError('deadline', 'late'))
    await expect(left).rejects.toThrow('late')
    expect(load.signal.aborted).toBe(false)
    load.land(a, 'landed')
    expect(await stays).toBe('landed')
  })

  it('wait by the highest class of those who wait, and say so when one of a higher class joins', async () => {
    const flights = new Flights<string>({ maxWaiters: 100 })
    const { run, begun } = controlled()
    const waiter = (priority: number) => ({
      ...until(1_000),
      share: { tenant: `${priority}`, weight: 1, priority, floor: 0 },
    })
    flights.open([a], run, unlanded, waiter(2))
    const load = await begun
    let promotions = 0
    load.onPromoted = () => promotions++
    expect(load.share?.priority).toBe(2)
    flights.join(a, waiter(1))
    flights.join(a, waiter(2))
    flights.join(a, waiter(0))
    flights.join(a, waiter(1))
    expect(load.share?.priority).toBe(0)
    expect(promotions).toBe(2)
  })

  it('end late where all have left for lack of time, so that the backend is blamed', async () => {
    const flights = new Flights<string>({ maxWaiters: 10 })
    const { run, begun } = controlled()
    const [one, two] = [new Cancel(), new Cancel()]
    const waits = [
      flights.open([a], run, unlanded, until(100))[0]?.wait(one),
      flights.join(a, until(200))?.wait(two),
    ]
    for (const cancel of [one, two]) cancel.abort(new GatewayError('deadline', 'late'))
    await Promise.allSettled(waits.map(async (wait) => wait))
    const load = await begun
    expect((load.signal.reason as GatewayError).code).toBe('deadline')
  })

  it('end when the last waiter of all their rows has left', async () => {
    const flights = new Flights<string>({ maxWaiters: 100 })
    const { run, begun } = controlled()
    const leaver = new AbortController()
    const opened = flights.open([a, b], run, unlanded)
    const waits = opened.map(async (flight) => {
      try {
        return await flight.wait(leaver.signal)
      } catch {
        return 'left'
      }
    })
    const load = await begun
    leaver.abort(new Error('left'))
    expect(await Promise.all(waits)).toEqual(['left', 'left'])
    expect(load.signal.aborted).toBe(true)
  })

  it('land with the error of a load that threw, and leave the map empty', async () => {
    const flights = new Flights<string>({ maxWaiters: 100 })
    const { run, end } = controlled()
    const opened = flights.open([a, b], run, unlanded)
    end(new Error('broken'))
    expect(await Promise.all(opened.map((flight) => flight.wait(never)))).toEqual([
      'unlanded: broken',
      'unlanded: broken',
    ])
    expect(flights.size).toBe(0)
  })

  it('turn away more waiters than there is room for', () => {
    const flights = new Flights<string>({ maxWaiters: 2 })
    flights.open([a], controlled().run, unlanded)
    expect(flights.join(a)).toBeDefined()
    expect(flights.join(a)).toBeUndefined()
  })

  it('reject a waiter who has left before waiting', async () => {
    const flights = new Flights<string>({ maxWaiters: 2 })
    const [own] = flights.open([a], controlled().run, unlanded)
    await expect(own?.wait(AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone')
  })
})
