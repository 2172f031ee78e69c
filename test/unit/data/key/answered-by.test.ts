/** Which version is said to have given an answer. */
import { describe, expect, it } from 'vitest'
import type { ModelOffer } from '../../../../src/core/backend.ts'
import { answeredBy } from '../../../../src/data/key/answered-by.ts'
import { statedVersion } from '../../../../src/protocol/oip/version.ts'

const target = { verb: 'infer', model: 'iris', prediction: true }
const offers = (...models: ModelOffer[]) => ({ models })

describe('an answer is of', () => {
  it.each([
    ['the version it states', offers({ name: 'iris', version: '1' }), '2', '2'],
    ['the one version its backend declared', offers({ name: 'iris', version: '7' }), undefined, '7'],
    ['no known version where the backend declared two', two(), undefined, undefined],
    ['no known version where the backend declared none', offers({ name: 'iris' }), undefined, undefined],
    ['no known version where the backend declared another model', other(), undefined, undefined],
  ])('%s', (_name, backend, stated, wanted) => {
    expect(answeredBy(target, backend, stated)).toBe(wanted)
  })
})

describe('an Open Inference answer states', () => {
  it.each([
    ['its version', '{"model_name":"iris","model_version":"3","outputs":[]}', '3'],
    ['its version in escapes', String.raw`{"outputs":[], "model_version" : "\u0033-b"}`, '3-b'],
    ['its version as a number', '{"model_version":12,"outputs":[]}', '12'],
    ['none', '{"model_name":"iris","outputs":[]}', undefined],
    ['none by null', '{"model_version":null}', undefined],
    ['none by an empty text', '{"model_version":""}', undefined],
    ['none deeper down', '{"outputs":[{"model_version":"3"}]}', undefined],
    ['none in what is no JSON', '{"model_version":"3"', undefined],
  ])('%s', (_name, json, wanted) => {
    expect(statedVersion(Buffer.from(json))).toBe(wanted)
  })
})

function two() {
  return offers({ name: 'iris', version: '1' }, { name: 'iris', version: '2' })
}

function other() {
  return offers({ name: 'digits', version: '1' })
}
