import { describe, expect, it } from 'vitest'
import { openaiTarget, openaiTargetByPath } from '../../../../src/protocol/openai/target.ts'

const PREDICTIONS = [
  ['/v1/embeddings', 'embeddings'],
  ['/v1/rerank', 'rerank'],
  ['/v2/rerank', 'rerank'],
  ['/rerank', 'rerank'],
  ['/score', 'score'],
  ['/v1/score', 'score'],
  ['/classify', 'classify'],
  ['/pooling', 'pooling'],
  ['/tokenize', 'tokenize'],
  ['/detokenize', 'detokenize'],
  ['/v1/chat/completions', 'chat'],
  ['/v1/completions', 'completions'],
] as const

describe('on a route of the dialect', () => {
  it.each(PREDICTIONS)('POST %s is a prediction whose body names the model', (path, verb) => {
    const expected = { verb, isNamedInBody: true, prediction: true }
    expect(openaiTarget('POST', path)).toEqual(expected)
    expect(openaiTarget('QUERY', path)).toEqual(expected)
    expect(openaiTarget('GET', path)).toMatchObject({ prediction: false })
  })

  it.each(['/v1/responses', '/v1/images/generations', '/v1/audio/speech', '/v1/moderations', '/v1/messages'])(
    'POST %s names the model, and is not repeated',
    (path) => {
      expect(openaiTarget('POST', path)).toMatchObject({ isNamedInBody: true, prediction: false })
    },
  )

  it.each([
    '/v1/audio/transcriptions',
    '/v1/images/edits',
    '/v1/files',
    '/v1/uploads/u/parts',
    '/v1/batches',
  ])('POST %s streams: nothing waits for its body', (path) => {
    expect(openaiTarget('POST', path)).toEqual({ verb: 'forward', prediction: false })
  })

  it('anything is passed on', () => {
    for (const path of [
      '/',
      '/health',
      '/version',
      '/api/chat',
      '/v1',
      '/v1/files/f/content',
      '/v1/embeddings/',
    ])
      expect(openaiTarget('GET', path)).toEqual({ verb: 'forward', prediction: false })
  })

  it('lists models, and tells of one, whose name may hold slashes', () => {
    expect(openaiTarget('GET', '/v1/models')).toEqual({ verb: 'models', gathers: true, prediction: false })
    expect(openaiTarget('GET', '/v1/models/org/m%20x')).toEqual({
      verb: 'model',
      model: 'org/m x',
      gathers: true,
      prediction: false,
    })
    expect(openaiTarget('DELETE', '/v1/models/m')).toMatchObject({ manages: true })
  })

  it.each(['/v1/load_lora_adapter', '/v1/unload_lora_adapter', '/update_weights_from_disk', '/api/pull'])(
    'POST %s deploys',
    (path) => {
      expect(openaiTarget('POST', path)).toMatchObject({ deploys: '', manages: true, prediction: false })
    },
  )

  it('what manages a server otherwise is said to', () => {
    expect(openaiTarget('POST', '/sleep')).toMatchObject({ manages: true })
    expect(openaiTarget('POST', '/flush_cache')).toMatchObject({ manages: true })
  })
})

describe('by the path alone', () => {
  it('knows what no other server has', () => {
    for (const [path] of PREDICTIONS)
      expect(openaiTargetByPath('POST', path) !== undefined).toBe(path.startsWith('/v'))
    expect(openaiTargetByPath('POST', '/v1/audio/speech')).toMatchObject({ isNamedInBody: true })
  })

  it('leaves everything else to others', () => {
    for (const path of [
      '/v1/models',
      '/v1/models/m',
      '/v1/models/m:predict',
      '/v2/models/m/infer',
      '/v1/files',
    ])
      for (const method of ['GET', 'POST']) expect(openaiTargetByPath(method, path)).toBeUndefined()
  })
})
