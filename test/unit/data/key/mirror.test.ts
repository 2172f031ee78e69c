import { describe, expect, it } from 'vitest'
import type { DeploymentState } from '../../../../src/data/key/deployed.ts'
import type { EpochState } from '../../../../src/data/key/epochs.ts'
import { MirroredDeployments, MirroredEpochs } from '../../../../src/data/key/mirror.ts'

const target = { verb: 'predict', model: 'm', prediction: true } as const

describe('mirrored epochs', () => {
  const epochsOf = (told: Record<string, EpochState>) => {
    const asked: string[][] = []
    const epochs = new MirroredEpochs({
      async epochs(names) {
        asked.push([...names])
        return names.map((name) => told[name] ?? { value: `of ${name}`, shared: true })
      },
    })
    return { epochs, asked }
  }

  it('are asked for once, and only those that are not known', async () => {
    const { epochs, asked } = epochsOf({})
    expect(epochs.peek(['all'])).toBeUndefined()
    expect(await epochs.load(['all', 'route:a'])).toEqual({ values: ['of all', 'of route:a'], shared: true })
    await epochs.load(['all', 'route:b'])
    expect(asked).toEqual([['all', 'route:a'], ['route:b']])
    expect(epochs.peek(['all', 'route:b'])).toEqual({ values: ['of all', 'of route:b'], shared: true })
  })

  it('are not shared where one of them is not', async () => {
    const { epochs } = epochsOf({ all: { value: 'own', shared: false } })
    expect(await epochs.load(['all', 'route:a'])).toMatchObject({ shared: false })
    expect(epochs.update('all', { value: 'own', shared: true })).toBe(false)
    expect(epochs.peek(['all', 'route:a'])).toMatchObject({ shared: true })
  })

  it('change when they are told to, and are asked for again when they were forgotten', async () => {
    const { epochs, asked } = epochsOf({})
    await epochs.load(['all'])
    expect(epochs.update('all', { value: 'purged', shared: true })).toBe(true)
    expect(epochs.peek(['all'])?.values).toEqual(['purged'])
    expect(epochs.update('all', undefined)).toBe(true)
    expect(epochs.peek(['all'])).toBeUndefined()
    expect(epochs.update('unknown', { value: 'x', shared: true })).toBe(false)
    await epochs.load(['all'])
    expect(asked).toEqual([['all'], ['all']])
  })

  it('say which of them calls have used since they were last asked', async () => {
    const { epochs } = epochsOf({})
    await epochs.load(['all', 'route:a', 'route:b'])
    epochs.peek(['all', 'route:a'])
    epochs.update('all', { value: 'purged', shared: true })
    expect(epochs.takeUsed()).toEqual(['all', 'route:a'])
    expect(epochs.takeUsed()).toEqual([])
  })

  it('stand in for themselves, a new value each time, where nobody answers', async () => {
    const epochs = new MirroredEpochs({ epochs: () => Promise.reject(new Error('no answer')) })
    const [one, two] = [await epochs.load(['all']), await epochs.load(['all'])]
    expect([one.shared, two.shared]).toEqual([false, false])
    expect(one.values).not.toEqual(two.values)
    expect(epochs.peek(['all'])).toBeUndefined()
  })
})

describe('mirrored deployments', () => {
  const state = (value: string, versions?: string[]): DeploymentState => ({
    token: { value, shared: true, writable: true },
    versions,
    isStated: false,
  })

  it('are asked for, then told', async () => {
    const deployments = new MirroredDeployments({ deployment: async () => state('one', ['1']) })
    expect(deployments.peek('p', target)).toBeUndefined()
    expect(await deployments.load('p', target)).toEqual({ value: 'one', shared: true, writable: true })
    expect(deployments.peek('p', target)?.value).toBe('one')
    expect([deployments.mayKeep('p', target, '1'), deployments.mayKeep('p', target, '2')]).toEqual([
      true,
      false,
    ])
    expect(deployments.update('p', 'm', state('two', ['2']))).toBe(true)
    expect(deployments.peek('p', target)?.value).toBe('two')
    expect([deployments.mayKeep('p', target, '1'), deployments.mayKeep('p', target, '2')]).toEqual([
      false,
      true,
    ])
    expect(deployments.update('p', 'm', state('two'))).toBe(false)
    expect(deployments.update('p', 'm', undefined)).toBe(true)
    expect(deployments.peek('p', target)).toBeUndefined()
  })

  it('say which models calls have named since they were last asked', async () => {
    const deployments = new MirroredDeployments({ deployment: async () => state('one') })
    await deployments.load('p', target)
    deployments.peek('p', target)
    deployments.peek('p', target)
    expect(deployments.takeCalled()).toEqual(new Map([['p', ['m']]]))
    expect(deployments.takeCalled()).toEqual(new Map())
  })

  it('stand in for themselves where nobody answers', async () => {
    const deployments = new MirroredDeployments({ deployment: () => Promise.reject(new Error('none')) })
    expect(await deployments.load('p', target)).toMatchObject({ shared: false })
    expect(deployments.peek('p', target)).toBeUndefined()
  })
})
