/** Which changes of what backends offer are a deployment. */
import { describe, expect, it } from 'vitest'
import { Offering } from '../../../../src/control/deployments/offering.ts'

const said = (offers: readonly string[], at = 0) => ({ offers, at, addedAt: -1 })

function offering(...all: (readonly [generation: number, ...offers: string[]])[]): Offering {
  const made = new Offering()
  for (const [generation, ...offers] of all) made.setOffers(generation, said(offers))
  return made
}

describe('evidence of a deployment is', () => {
  it('the first that anybody says', () => {
    const made = new Offering()
    expect(made.evidence).toBeUndefined()
    expect(made.setOffers(1, said(['1@']))).toBe(true)
    expect(made.evidence).toBe('1@')
  })

  it('an offer that nobody had before', () => {
    const made = offering([1, '1@'])
    expect(made.setOffers(2, said(['2@']))).toBe(true)
    expect(made.evidence).toBe('1@ 2@')
    expect(made.versions).toEqual(['1', '2'])
  })

  it('the same version with another digest', () => {
    const made = offering([1, '1@sha256:a'])
    expect(made.setOffers(2, said(['1@sha256:b']))).toBe(true)
  })

  it('a backend that says something else than before', () => {
    const made = offering([1, '1@', '2@'])
    expect(made.setOffers(1, said(['2@']))).toBe(true)
    expect(made.evidence).toBe('2@')
  })

  it('the end of a rollout, when the last backend with the old version drains', () => {
    const made = offering([1, '1@'], [2, '1@'], [3, '2@'])
    expect(made.remove(1, true)).toBe('none')
    expect(made.remove(2, true)).toBe('known')
    expect(made.evidence).toBe('2@')
  })

  it('a rollback', () => {
    const made = offering([1, '1@'])
    made.setOffers(1, said(['2@']))
    expect(made.setOffers(1, said(['1@']))).toBe(true)
  })
})

describe('evidence is newer than', () => {
  const made = new Offering()

  it('the addition of the backend that gave it first', () => {
    made.setOffers(1, said(['1@'], 10))
    expect(made.otherwiseAt).toBe(-1)
  })

  it('the last time that the backend said otherwise', () => {
    made.setOffers(1, said(['1@'], 20))
    made.setOffers(1, said(['2@'], 30))
    expect(made.otherwiseAt).toBe(20)
  })

  it('what another backend goes on saying', () => {
    made.setOffers(2, said(['2@'], 35))
    made.setOffers(2, said(['2@'], 40))
    made.setOffers(1, said(['3@'], 50))
    expect(made.otherwiseAt).toBe(30)
  })

  it('the last word of a backend that has drained', () => {
    made.remove(2, true)
    expect(made.otherwiseAt).toBe(40)
  })
})

describe('no evidence is', () => {
  it('another backend with the same', () => {
    expect(offering([1, '1@']).setOffers(2, said(['1@']))).toBe(false)
  })

  it('a backend that is lost, the last one included, and comes back', () => {
    const made = offering([1, '1@'], [2, '2@'])
    expect(made.remove(2, false)).toBe('none')
    expect(made.remove(1, false)).toBe('none')
    expect(made.evidence).toBe('1@ 2@')
    expect(made.setOffers(3, said(['1@']))).toBe(false)
    expect(made.setOffers(4, said(['2@']))).toBe(false)
    expect(made.evidence).toBe('1@ 2@')
  })

  it('the drain of all backends, or of one of several with the same', () => {
    const made = offering([1, '1@'], [2, '1@'])
    expect(made.remove(1, true)).toBe('none')
    expect(made.remove(2, true)).toBe('none')
    expect(made.evidence).toBe('1@')
  })

  it('a backend that has nothing to offer for a moment', () => {
    const made = offering([1, '1@'])
    expect(made.setOffers(1, said([]))).toBe(false)
    expect(made.setOffers(1, said(['1@']))).toBe(false)
    expect(made.setOffers(1, said(['2@']))).toBe(true)
  })

  it('the departure of somebody who never said anything', () => {
    expect(offering([1, '1@']).remove(9, true)).toBe('none')
  })
})

it('versions are unknown where one backend does not say its own', () => {
  expect(offering([1, '1@'], [2, '@rev:abc']).versions).toBeUndefined()
  expect(offering([1]).versions).toBeUndefined()
})

describe('what answers say of their version', () => {
  it('is a deployment when it changes, on one backend or by a version that none had', () => {
    const made = offering([1, '@'], [2, '@'])
    expect(made.stated).toBeUndefined()
    expect(made.setStatement(1, 'v1', undefined)).toBe('first')
    expect(made.setStatement(2, 'v1', undefined)).toBe('first')
    expect(made.setStatement(2, 'v1', 'v1')).toBe('known')
    expect(made.setStatement(1, 'v2', 'v1')).toBe('next')
    expect(made.stated).toEqual(['v2', 'v1'])
    expect(made.setStatement(2, 'v2', 'v1')).toBe('next')
    expect(made.stated).toEqual(['v2'])
    expect(made.setStatement(3, 'v3', undefined)).toBe('next')
  })

  it('is one although it was forgotten what the answer before said', () => {
    expect(offering([1, '@']).setStatement(1, 'v2', 'v1')).toBe('next')
  })

  it('is one for a rollback', () => {
    const made = offering([1, '@'])
    made.setStatement(1, 'v1', undefined)
    made.setStatement(1, 'v2', 'v1')
    expect(made.setStatement(1, 'v1', 'v2')).toBe('next')
  })

  it('holds for others until one of ours has answered', () => {
    const made = offering([1, '@'])
    expect(made.setStatement(0, 'v2', undefined)).toBe('first')
    expect(made.setStatement(1, 'v1', undefined)).toBe('next')
    expect(made.stated).toEqual(['v1'])
  })

  it('is one when the last with a version drains, and none when it is lost', () => {
    const made = offering([1, '@'], [2, '@'], [3, '@'])
    for (const [generation, version] of [
      [1, 'v1'],
      [2, 'v1'],
      [3, 'v2'],
    ] as const)
      made.setStatement(generation, version, undefined)
    expect(made.remove(1, true)).toBe('none')
    expect(made.remove(2, false)).toBe('none')
    expect(made.stated).toEqual(['v1', 'v2'])
    const drained = offering([1, '@'], [2, '@'])
    drained.setStatement(1, 'v1', undefined)
    drained.setStatement(2, 'v2', undefined)
    expect(drained.remove(1, true)).toBe('new')
    expect(drained.stated).toEqual(['v2'])
  })
})
