import { describe, expect, it } from 'vitest'
import { Splitter } from '../../../../src/data/rows/splitter.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

function workers() {
  const clock = new FakeClock()
  const told: string[] = []
  const all: Splitter[] = []
  const open = () => {
    const own: Splitter = new Splitter({
      clock,
      random: () => 0.5,
      changed: (model, state) => {
        told.push(state)
        for (const other of all) if (other !== own) other.heard(model, state)
      },
    })
    all.push(own)
    return own
  }
  return { clock, told, one: open(), two: open() }
}

const prove = (splitter: Splitter, model: string) => {
  for (let batch = 0; batch < 20; batch++) {
    splitter.begin('auto', model)
    splitter.end(model, true)
  }
}

describe('what one worker finds out about splitting a model', () => {
  it('holds for the others, and is told once', () => {
    const { told, one, two } = workers()
    prove(one, 'm')
    expect([one.splits('auto', 'm'), two.splits('auto', 'm')]).toEqual([true, true])
    two.end('m', false)
    expect([one.state('m'), two.state('m')]).toEqual(['refused', 'refused'])
    expect(told).toEqual(['proved', 'refused'])
  })

  it('holds for ten minutes where answers did not fit', () => {
    const { clock, one, two } = workers()
    one.violated('m', 'it has another number of rows')
    expect([one.splits('always', 'm'), two.splits('always', 'm')]).toEqual([false, false])
    clock.advance(10 * 60 * 1000)
    expect(two.splits('always', 'm')).toBe(true)
  })
})
