/** What counts as a flood of frames, and what a busy and sound peer may send. */
import { describe, expect, it } from 'vitest'
import { Floods } from '../../../../src/lib/http2/floods.ts'

const times = (count: number, act: () => void) => {
  for (let i = 0; i < count; i++) act()
}

describe('windows that grow', () => {
  it('twice for each frame that we have sent are no flood, however late they come', () => {
    const floods = new Floods()
    floods.sent(100_000)
    times(200_000, () => floods.granted())
    times(2000, () => {
      floods.sent(1)
      floods.granted()
      floods.granted()
    })
  })

  it('once for each stream that is opened are none', () => {
    const floods = new Floods()
    times(5000, () => {
      floods.opened()
      floods.granted()
    })
  })

  it('are one where we send nothing, or next to nothing', () => {
    const floods = new Floods()
    expect(() =>
      times(2000, () => {
        floods.sent(1)
        times(10, () => floods.granted())
      }),
    ).toThrow('too many frames that let us send more')
  })

  it('now and then are none, however long the connection is open', () => {
    const floods = new Floods()
    times(5000, () => {
      floods.rested()
      floods.granted()
    })
  })
})

it('work of the peer makes room for idle frames, but not for windows that grow', () => {
  const floods = new Floods()
  times(900, () => floods.idle())
  floods.worked()
  times(900, () => floods.idle())
  expect(() =>
    times(2000, () => {
      floods.worked()
      floods.granted()
    }),
  ).toThrow('too many frames that let us send more')
})
