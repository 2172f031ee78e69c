/** Callers make up model names as they like; that must cost nobody else what is kept for the real ones. */
import { describe, expect, it } from 'vitest'
import { silentLog } from '../../../../src/core/log.ts'
import { Deployments } from '../../../../src/data/key/deployment.ts'
import { Epochs } from '../../../../src/data/key/epochs.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

const parts = { shared: undefined, clock: new FakeClock(), log: silentLog, changed: () => {} }

describe('a flood of names', () => {
  it('makes no epoch forgotten that is in use', async () => {
    const epochs = new Epochs(parts)
    const mine = ['all', 'route:r', 'model:real', 'model:real/']
    const before = await epochs.load(mine)
    for (let i = 0; i < 6_000; i++) {
      await epochs.load([...mine.slice(0, 2), `model:made-up-${i}`, `model:made-up-${i}/`])
      if (i % 1000 === 0) expect(epochs.peek(mine)).toEqual(before)
    }
  })

  it('makes no deployment forgotten that is in use, though no backend told of it', async () => {
    const deployments = new Deployments(parts)
    const target = (model: string) => ({ verb: 'predict', model, prediction: true })
    const before = await deployments.load('p', target('real'))
    for (let i = 0; i < 2_500; i++) {
      await deployments.load('p', target(`made-up-${i}`))
      if (i % 500 === 0) expect(deployments.peek('p', target('real'))).toEqual(before)
    }
  })
})
