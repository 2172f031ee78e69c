/** Calls that wait for a pool: behind full backends, and for the first backend of a pool at zero. */
import { describe, expect, it } from 'vitest'
import { GatewayError } from '../../../../src/core/errors.ts'
import { AdmissionQueue } from '../../../../src/data/backend/admission-queue.ts'
import type { Permit, PermitRequest } from '../../../../src/data/backend/permit.ts'
import type { FairCapacity } from '../../../../src/data/balance/fair/fair-queue.ts'
import { Neighbours } from '../../../../src/data/balance/policies/neighbours.ts'
import { createLoadTable } from '../../../../src/data/balance/table.ts'
import { DemandMeter } from '../../../../src/data/measure/demand.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

const SEAT = {} as Permit
const NOBODY: FairCapacity = { meanServiceMs: 0, medianServiceMs: 0, limits: 0 }

function open(maxDepth = 3, capacity = NOBODY) {
  const clock = new FakeClock()
  const demand = new DemandMeter(clock)
  const neighbours = new Neighbours(createLoadTable(8), 'p')
  const waits: string[] = []
  const room = new AdmissionQueue(
    {
      name: 'p',
      clock,
      demand,
      capacity: () => capacity,
      neighbours,
      accounts: neighbours.accounts,
      waited: (ending, ms) => void waits.push(ms === undefined ? ending : `${ending} ${ms}`),
    },
    { maxDepth, maxWaitMs: 5_000, targetMs: 500, intervalMs: 1_000 },
  )
  const log: string[] = []
  const come = (name: string, way: 'wait' | 'hold', deadlineMs = 60_000) => {
    const leaving = new AbortController()
    const need: PermitRequest = {
      model: undefined,
      version: undefined,
      key: undefined,
      deadline: clock.now() + deadlineMs,
      signal: leaving.signal,
    }
    room[way]({ need, exclude: [] }).then(
      () => log.push(`${name} served`),
      (error: Error) => {
        const again = (error instanceof GatewayError && error.detail.retryAfterSeconds) || 1
        log.push(`${name}: ${error.message}${again > 1 ? ` (come again in ${again} s)` : ''}`)
      },
    )
    return leaving
  }
  const serve = () => {
    for (let next = room.take(20); next !== undefined; next = room.take(20)) room.serve(next, SEAT)
  }
  /** What was said since, once promises have run. */
  const said = async () => {
    await new Promise(setImmediate)
    return log.splice(0)
  }
  return { clock, demand, room, come, serve, said, waits }
}

it('tells how each wait ended and how long it was', async () => {
  const { clock, room, come, serve, said, waits } = open(2, {
    meanServiceMs: 10,
    medianServiceMs: 10,
    limits: 4,
  })
  const leaving = come('a', 'wait')
  come('b', 'wait')
  come('c', 'wait')
  clock.advance(20)
  leaving.abort(new GatewayError('callerLeft', 'left'))
  clock.advance(10)
  serve()
  come('d', 'wait', 50)
  clock.advance(60)
  room.expire()
  await said()
  expect(waits).toEqual(['full', 'left 20', 'served 30', 'late 60'])
})

describe('calls held for a pool at zero', () => {
  it('are served in the order they came, however long the start took, and before those who wait', async () => {
    const { clock, room, come, serve, said } = open(3, { ...NOBODY, limits: 4 })
    come('first', 'hold')
    clock.advance(40_000)
    come('second', 'hold')
    come('late', 'wait')
    expect(room.depth).toBe(3)
    serve()
    expect(await said()).toEqual(['first served', 'second served', 'late served'])
    expect(room.depth).toBe(0)
  })

  it('are no more than may wait: the next is told to come again after as long as the last start took', async () => {
    const { clock, come, serve, said } = open(1)
    come('a', 'hold')
    clock.advance(3_200)
    serve()
    come('b', 'hold')
    come('c', 'hold')
    expect(await said()).toEqual([
      'a served',
      'c: pool "p" takes no more calls: its queue is full (come again in 4 s)',
    ])
  })

  it('wait no longer than their callers do', async () => {
    const { clock, room, come, said } = open()
    come('hasty', 'hold', 2_000)
    come('patient', 'hold', 20_000)
    clock.advance(2_001)
    room.expire()
    expect(await said()).toEqual(['hasty: pool "p" takes no more calls: the deadline came before its turn'])
    expect(room.depth).toBe(1)
  })

  it('are demand while they wait, and none once the caller has left', async () => {
    const { demand, come, said } = open()
    const leaving = come('gone', 'hold')
    expect(demand.level).toBe(1)
    leaving.abort(new Error('the caller left'))
    expect(await said()).toEqual(['gone: the caller left'])
    expect(demand.level).toBe(0)
  })
})

describe('calls that wait for a full backend', () => {
  it('are refused where nobody is ready, or the wait would outlast them', async () => {
    const { come, said } = open()
    come('early', 'wait')
    expect(await said()).toEqual(['early: pool "p" takes no more calls: the wait would outlast the deadline'])
  })
})
