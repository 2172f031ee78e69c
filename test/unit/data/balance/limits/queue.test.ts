import { describe, expect, it } from 'vitest'
import { Codel } from '../../../../../src/data/balance/limits/codel.ts'
import {
  type Dropped,
  type QueueEntry,
  type QueueOptions,
  type QueueWaiter,
  WaitQueue,
} from '../../../../../src/data/balance/limits/queue.ts'

const capacity = { meanServiceMs: 10, medianServiceMs: 8, limits: 4 }

function open(options: QueueOptions = {}) {
  const dropped: [string, Dropped][] = []
  const queue = new WaitQueue<string>((item, why) => dropped.push([item, why]), options)
  const enter = (item: string, now = 0, waiter: QueueWaiter = {}) =>
    queue.enter(item, waiter, { now, capacity })
  const place = (item: string, now = 0, waiter: QueueWaiter = {}): QueueEntry<string> => {
    const entry = enter(item, now, waiter)
    if ('refused' in entry) throw new Error(entry.refused)
    return entry.entry
  }
  const drain = (now: number) => {
    const order: string[] = []
    for (let item = queue.take(now, 8); item !== undefined; item = queue.take(now, 8)) order.push(item)
    return order
  }
  return { queue, dropped, enter, place, drain }
}

describe('the waiting queue', () => {
  it('serves first come, first served', () => {
    const { place, drain } = open()
    for (const item of ['a', 'b', 'c']) place(item)
    expect(drain(1)).toEqual(['a', 'b', 'c'])
  })

  it('serves the earliest deadline first, and calls without one as if due in five seconds', () => {
    const { place, drain } = open()
    place('whenever')
    place('late', 0, { deadline: 9_000 })
    place('soon', 0, { deadline: 500 })
    expect(drain(1)).toEqual(['soon', 'whenever', 'late'])
  })

  it('serves by priority before deadline', () => {
    const { place, drain } = open()
    place('batch', 0, { deadline: 100, priority: 2 })
    place('person', 0, { deadline: 900, priority: 0 })
    expect(drain(1)).toEqual(['person', 'batch'])
  })

  it('refuses when it is full, and says for how long', () => {
    const { place, enter } = open({ maxDepth: 2 })
    place('a')
    place('b')
    expect(enter('c')).toEqual({ refused: 'full', retryAfterMs: 5 })
  })

  it('refuses on entry a call that would be late before its turn', () => {
    const { queue, place, enter } = open()
    for (let call = 0; call < 40; call++) place(`${call}`)
    expect(queue.estimatedWaitMs(capacity)).toBe(100)
    expect(enter('hasty', 0, { deadline: 105 })).toEqual({ refused: 'wait', retryAfterMs: 100 })
    expect(enter('patient', 0, { deadline: 109 })).toHaveProperty('entry')
  })

  it('waits for the first backend to start, if there is time', () => {
    const { queue } = open()
    const none = { meanServiceMs: 10, medianServiceMs: 8, limits: 0 }
    const starting = { now: 0, capacity: { ...none, startupMs: 2_000 } }
    expect(queue.enter('a', {}, starting)).toHaveProperty('entry')
    expect(queue.enter('b', { deadline: 1_000 }, starting)).toHaveProperty('refused', 'wait')
    expect(queue.enter('c', {}, { now: 0, capacity: none })).toHaveProperty('refused', 'wait')
  })

  it('drops a call whose time is up when its turn comes', () => {
    const { place, drain, dropped } = open()
    place('a', 0, { deadline: 60 })
    place('b', 0, { deadline: 70 })
    expect(drain(55)).toEqual(['b'])
    expect(dropped).toEqual([['a', 'late']])
  })

  it('forgets a call whose caller has left, and is not confused when told twice', () => {
    const { queue, place, drain, dropped } = open()
    const places = ['a', 'b', 'c', 'd', 'e'].map((item) => place(item))
    expect([
      queue.remove(places[1] as QueueEntry<string>),
      queue.remove(places[1] as QueueEntry<string>),
    ]).toEqual([true, false])
    queue.remove(places[4] as QueueEntry<string>)
    expect(queue.depth).toBe(3)
    expect(drain(1)).toEqual(['a', 'c', 'd'])
    expect(queue.remove(places[0] as QueueEntry<string>)).toBe(false)
    expect(dropped).toEqual([])
  })

  it('serves the newest first while overloaded, the dated still by deadline', () => {
    const { queue, place } = open()
    for (let call = 0; call < 200; call++) place(`${call}`, call)
    // Everybody has waited long, over more than one interval: overloaded.
    queue.take(300, 8)
    queue.take(420, 8)
    expect(queue.isOverloaded).toBe(true)
    place('newest', 425)
    expect(queue.take(426, 8)).toBe('newest')
    place('urgent', 426, { deadline: 1_500 })
    place('newer', 427)
    expect(queue.take(428, 8)).toBe('urgent')
    expect(queue.take(428, 8)).toBe('newer')
  })

  it('sheds what has waited long while overloaded, and recovers once it is empty', () => {
    const { queue, place, drain, dropped } = open()
    for (let call = 0; call < 50; call++) place(`${call}`, 0)
    queue.take(300, 8)
    queue.take(420, 8)
    drain(430)
    expect(dropped.length).toBeGreaterThan(40)
    expect(dropped.every(([, why]) => why === 'shed')).toBe(true)
    expect([queue.depth, queue.isOverloaded]).toEqual([0, false])
    place('after', 440)
    expect(drain(441)).toEqual(['after'])
  })

  it('lets nobody wait longer than it says, also when nothing ever comes free', () => {
    const { queue, place, dropped } = open({ maxWaitMs: 100 })
    place('undated', 0)
    place('patient', 10, { deadline: 60_000 })
    place('later', 50)
    queue.expire(99)
    expect(dropped).toEqual([])
    queue.expire(110)
    expect(dropped).toEqual([
      ['undated', 'late'],
      ['patient', 'late'],
    ])
    expect(queue.depth).toBe(1)
  })

  it('gives a call that was put back its old place', () => {
    const { queue, place, drain } = open()
    const first = place('first')
    place('second', 1)
    expect(queue.take(2, 0)).toBe('first')
    queue.restore(first)
    expect(drain(3)).toEqual(['first', 'second'])
  })

  it('takes new bounds while calls wait', () => {
    const { queue, place, enter } = open()
    place('a')
    queue.configure({ maxDepth: 1 })
    expect(enter('b')).toMatchObject({ refused: 'full' })
    expect(queue.take(1, 0)).toBe('a')
  })

  it('hands everybody back when it is closed', () => {
    const { queue, place, dropped } = open()
    place('a')
    place('b', 0, { deadline: 100 })
    queue.clear('full')
    expect(dropped.map(([item]) => item).sort()).toEqual(['a', 'b'])
    expect(queue.depth).toBe(0)
  })
})

describe('codel', () => {
  it('takes a burst that drains for no overload', () => {
    const codel = new Codel()
    // The queue is long at times, but in each interval somebody waits little.
    const waits = [80, 60, 40, 20, 2]
    for (let now = 0; now < 2_000; now += 20) {
      expect(codel.shouldShed(now, waits[(now / 20) % 5] ?? 0)).toBe(false)
    }
    expect(codel.load).toBeLessThanOrEqual(1)
  })

  it('sheds when nobody waits less than the target, but never the first of an interval', () => {
    const codel = new Codel()
    const shed = Array.from({ length: 30 }, (_, call) => codel.shouldShed(call * 10, 50))
    expect(shed.slice(0, 10)).not.toContain(true)
    expect(shed.filter(Boolean).length).toBeGreaterThan(10)
    expect([shed[10], shed[20]]).toEqual([false, false])
    expect(codel.load).toBe(1)
  })

  it('serves what has waited less than twice the target even then', () => {
    const codel = new Codel()
    for (let call = 0; call < 15; call++) codel.shouldShed(call * 10, 50)
    expect(codel.shouldShed(151, 9)).toBe(false)
  })
})
