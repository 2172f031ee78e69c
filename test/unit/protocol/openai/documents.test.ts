/** Answers about documents: kept where each was judged, by the row and as wholes. */
import { describe, expect, it } from 'vitest'
import type { Call } from '../../../../src/core/call.ts'
import { digestOf } from '../../../../src/core/key.ts'
import { openai } from '../../../../src/protocol/openai/openai.ts'
import { openaiTarget } from '../../../../src/protocol/openai/target.ts'
import type { Plan } from '../../../../src/protocol/protocol.ts'

const REQUESTS: Readonly<Record<string, object>> = {
  '/v1/rerank': { model: 'm', query: 'q', documents: ['a', 'b'] },
  '/v1/score': { model: 'm', text_1: 'q', text_2: ['a', 'b'] },
  '/v1/classify': { model: 'm', input: ['a', 'b'] },
  '/v1/pooling': { model: 'm', input: ['a', 'b'] },
}

function planOf(path: string, split: boolean): Plan {
  const body = Buffer.from(JSON.stringify(REQUESTS[path]))
  const call = { method: 'POST', path, query: '', headers: [], target: openaiTarget('POST', path) }
  const plan = openai.read(call as unknown as Call, body, { seed: digestOf(''), split })
  if ('bypass' in plan) throw new Error(plan.bypass)
  return plan
}

/** Whether an answer is kept by the row, and as a whole where rows are counted and where they are not. */
function kept(path: string, answer: string) {
  const body = Buffer.from(answer)
  const reply = { status: 200, headers: [], body }
  const plan = planOf(path, true)
  return {
    rows: openai.rows?.cut(reply, body, 2, plan) !== undefined,
    counted: openai.storable?.(reply, body, planOf(path, false), true),
    whole: openai.storable?.(reply, body, planOf(path, false), false),
  }
}

const ALL = { rows: true, counted: true, whole: true }
const NONE = { rows: false, counted: false, whole: false }

describe('is kept', () => {
  it.each([
    ['/v1/rerank', '{"results":[{"index":1,"relevance_score":0.5},{"index":0,"relevance_score":-1e-3}]}'],
    ['/v1/score', '{"data":[{"index":0,"score":0},{"index":1,"score":1}]}'],
    [
      '/v1/classify',
      '{"data":[{"index":0,"label":null,"probs":[1,0]},{"index":1,"label":"n","probs":[0,1]}]}',
    ],
    ['/v1/pooling', '{"data":[{"index":0,"data":[[1.5],[2]]},{"index":1,"data":[[3]]}]}'],
  ])('what was judged: %s %s', (path, answer) => {
    expect(kept(path, answer)).toEqual(ALL)
  })

  it('in a form of its own only as it came', () => {
    expect(kept('/v1/rerank', '{"scores":[1,2]}')).toEqual({ ...NONE, whole: true })
  })
})

describe('is not kept', () => {
  it.each([
    ['/v1/rerank', '{"results":[{"index":1,"relevance_score":0.5},{"index":0,"relevance_score":null}]}'],
    ['/v1/rerank', '{"results":[{"index":1,"relevance_score":NaN},{"index":0,"relevance_score":1}]}'],
    ['/v1/rerank', '{"results":[{"index":1,"relevance_score":0.5},{"index":0}]}'],
    ['/v1/score', '{"data":[{"index":0,"score":null},{"index":1,"score":1}]}'],
    ['/v1/score', '{"data":[{"index":0,"score":-Infinity},{"index":1,"score":1}]}'],
    ['/v1/classify', '{"data":[{"index":0,"label":"n","probs":[NaN,0]},{"index":1,"probs":[0,1]}]}'],
    ['/v1/classify', '{"data":[{"index":0,"label":"n","probs":[]},{"index":1,"probs":[0,1]}]}'],
    ['/v1/pooling', '{"data":[{"index":0,"data":[[null],[2]]},{"index":1,"data":[[3]]}]}'],
  ])('what was not: %s %s', (path, answer) => {
    expect(kept(path, answer)).toEqual(NONE)
  })
})
