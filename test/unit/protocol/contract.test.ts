import { header } from '../../../src/core/call.ts'
import { oip } from '../../../src/protocol/oip/oip.ts'
import { opaque } from '../../../src/protocol/opaque.ts'
import { openai } from '../../../src/protocol/openai/openai.ts'
import { tfserving } from '../../../src/protocol/tfserving/tfserving.ts'
import { torchserve } from '../../../src/protocol/torchserve/torchserve.ts'
import { protocolContract } from '../../../src/testing/protocol.ts'
import { textOf } from '../../../src/testing/protocol-call.ts'
import { slip } from '../../support/slip.ts'

protocolContract(tfserving, {
  path: '/v1/models/m:predict',
  body: '{"signature_name": "s", "instances": [[1.0, 2], [3, 4], [5, 6]]}',
  shorter: '{"signature_name": "s", "instances": [[1.0, 2], [3, 4]]}',
  answer: '{\n    "predictions": [[0.5, 1.0], [0.25, 2.0], [1.0, 3.0]\n    ]\n}',
})

const tensor = (name: string, shape: number[], data: unknown[]) => ({ name, datatype: 'FP32', shape, data })

protocolContract(oip, {
  path: '/v2/models/m/infer',
  body: JSON.stringify({ inputs: [tensor('b', [3], [1, 2, 3]), tensor('a', [3, 2], [1, 2, 3, 4, 5, 6])] }),
  shorter: JSON.stringify({ inputs: [tensor('b', [2], [1, 2]), tensor('a', [2, 2], [1, 2, 3, 4])] }),
  answer: JSON.stringify({
    model_name: 'm',
    model_version: '3',
    outputs: [
      tensor('y', [3], [1, 2, 3]),
      tensor(
        'z',
        [3, 2, 1],
        [
          [[1], [2]],
          [[3], [4]],
          [[5], [6]],
        ],
      ),
    ],
  }),
})

protocolContract(torchserve, {
  path: '/predictions/m',
  body: 'three rows, as far as its model knows',
  shorter: '',
  answer: '{\n  "probs": [\n    0.5\n  ]\n}',
  fields: ['content-length', '29'],
})

const embedding = (index: number, ...values: number[]) => ({ object: 'embedding', index, embedding: values })

protocolContract(openai, {
  path: '/v1/embeddings',
  body: '{"user": "u", "input": ["a", "b\\u00e9", "c"], "model": "m", "dimensions": 2}',
  shorter: '{"user": "u", "input": ["a", "b\\u00e9"], "model": "m", "dimensions": 2}',
  answer: JSON.stringify({
    object: 'list',
    data: [embedding(0, 0.5, -1), embedding(1, 0.25, 2), embedding(2, 1, 0.1)],
    model: 'm-1',
    usage: { prompt_tokens: 7, total_tokens: 7 },
  }),
  named: { model: 'm' },
  told: (fault) => (JSON.parse(textOf(fault)) as { error: { message: string } }).error,
})

protocolContract(opaque, {
  path: '/anything',
  body: 'three rows, as far as anybody knows',
  shorter: '',
  answer: '',
})

// Not one of ours: what the built-in ones have not.
protocolContract(slip, {
  path: '/slip',
  body: 'model m@2\n1\n2\n3\n',
  shorter: 'model m@2\n1\n2\n',
  answer: 'm@2:2\nm@2:4\nm@2:6\n',
  fields: ['Slip-Status', '0'],
  named: { model: 'm', version: '2' },
  told: ({ headers }) => ({ message: decodeURIComponent(header(headers, 'slip-message') ?? '') }),
})
