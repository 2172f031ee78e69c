/** llama.cpp with a tiny random model: completions, chats, and streams of server-sent events, by both openai libraries. */
import { join } from 'node:path'
import { answers, ask } from '../../suite/ask.ts'
import { SCRIPT_MS, tryClient } from '../../suite/clients.ts'
import { difference } from '../../suite/compare.ts'
import { type Exchange, json, tryExchanges } from '../../suite/exchanges.ts'
import { refusedAsOpenai, tryKilled } from '../../suite/killed.ts'
import { nodePackage } from '../../suite/node-packages.ts'
import { freePorts } from '../../suite/processes.ts'
import { run } from '../../suite/run.ts'
import type { System } from '../../suite/session.ts'
import { LLAMA } from '../environments.ts'
import { tryScript } from '../sides.ts'

const OPENAI = '7.59.0'

// An id and a time of each answer, and how long it took.
const INVENTED = { members: ['id', 'created'], fields: ['x-request-id', 'openai-processing-ms'] }

const call = (path: string, body: unknown) => ({ path, ...json(body) })

const SETTINGS = { model: 'tiny', temperature: 0, max_tokens: 12 }

const CALLS: readonly Exchange[] = [
  { name: 'completion', again: 'hit', ...call('/v1/completions', { ...SETTINGS, prompt: 'once' }) },
  {
    name: 'chat',
    again: 'hit',
    ...call('/v1/chat/completions', { ...SETTINGS, messages: [{ role: 'user', content: 'hi' }] }),
  },
  {
    name: 'a stream',
    again: 'hit',
    ...call('/v1/chat/completions', {
      ...SETTINGS,
      stream: true,
      messages: [{ role: 'user', content: 'hello' }],
    }),
  },
  { name: 'embeddings', again: 'hit', ...call('/v1/embeddings', { model: 'tiny', input: ['a', 'b'] }) },
  {
    name: 'an argument that is missing',
    again: 'forwarded',
    ...call('/v1/completions', { prompt: 7, max_tokens: 'many' }),
  },
  { name: 'a path that is not there', again: 'forwarded', path: '/v1/absent' },
  { name: 'models', again: 'forwarded', path: '/v1/models' },
]

export const llama: System = {
  name: 'llama',
  title: 'llama.cpp by llama-cpp-python, a tiny random model',
  guide: 'servers/llama.md',
  async run(session) {
    const python = await session.python(LLAMA, ['llama-cpp-python', 'openai'])
    const packages = await nodePackage('openai', OPENAI)
    session.uses('openai (npm)', OPENAI)
    const model = join(session.folder, 'tiny.gguf')
    await run(python.command, [join(import.meta.dirname, 'tiny_model.py'), model], { timeoutMs: 60_000 })
    const [port] = await freePorts(1)
    const direct = `http://127.0.0.1:${port}`
    const flags = [
      ...['--model_alias', 'tiny', '--embedding', 'true', '--n_ctx', '512', '--n_threads', '1'],
      // It would cut a stream short for any other request, such as the list of models that the gateway looks at every second.
      ...['--interrupt_requests', 'false'],
    ]
    const server = await session.start(
      {
        name: 'llama.cpp',
        command: python.command,
        args: [
          '-m',
          'llama_cpp.server',
          '--model',
          model,
          ...flags,
          '--host',
          '127.0.0.1',
          '--port',
          String(port),
        ],
        ready: () => answers(direct, '/v1/models'),
      },
      `python -m llama_cpp.server --model tiny.gguf ${flags.join(' ')}`,
    )
    const gateway = await session.gateway({ name: 'defaults', upstream: direct })
    const sides = { direct, gateways: [gateway], invented: INVENTED }
    await tryExchanges(session, { ...sides, group: 'calls', exchanges: CALLS })
    // After this 500 the server closes a connection that it had promised to keep, so a second call on it may be cut off.
    await session.check('calls', 'no JSON, once', async () => {
      const broken = call('/v1/completions', '{"prompt":')
      return difference(await ask(direct, broken), await ask(gateway.url, broken), INVENTED)
    })
    await tryScript(session, {
      sides,
      python,
      group: 'openai (PyPI)',
      script: join(import.meta.dirname, 'client.py'),
    })
    const script = join(import.meta.dirname, 'client.mjs')
    const library = join(packages, 'node_modules', 'openai', 'index.mjs')
    await tryClient(session, {
      ...sides,
      group: 'openai (npm)',
      run: (base) => run(process.execPath, [script, library, base], { timeoutMs: SCRIPT_MS }),
    })
    await tryKilled(session, {
      ...sides,
      server,
      gateway,
      fresh: (number) => call('/v1/completions', { ...SETTINGS, prompt: `number ${number}` }),
      refused: refusedAsOpenai,
    })
  },
}
