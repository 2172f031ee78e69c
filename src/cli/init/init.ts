/** `infergate init [URL ...]`: writes a commented YAML for the servers at these addresses. */
import { writeFile } from 'node:fs/promises'
import { Command } from 'commander'
import { formatProblem, parseSettings } from '../../config/load.ts'
import { UserError } from '../user-error.ts'
import { detect, type FoundServer } from './detect.ts'
import { writeSettings } from './write.ts'

interface Options {
  readonly output: string
  readonly force?: boolean
}

const STANDARD_OUTPUT = '-'
/** More are better kept in a file of their own, or register themselves. */
const MAX_SERVERS = 64

const HELP = `
Each server is asked what it speaks and which models it has; servers that have the same become one pool. One that does not
answer is written down as well. Without a URL the file is one to begin with.

Examples:
  $ infergate init http://127.0.0.1:8501 http://127.0.0.1:8502
  $ infergate init http://vllm:8000 grpc://triton:8001 --output gateway.yaml
  $ infergate init --output -
  $ infergate check infergate.yaml && infergate serve --config infergate.yaml`

export function initCommand(): Command {
  return new Command('init')
    .description('write a commented YAML for the servers you have')
    .argument('[url...]', 'model servers: http, https, grpc or grpcs')
    .option('--output <file>', 'the file to write; - for standard output', 'infergate.yaml')
    .option('--force', 'replace a file that is there')
    .addHelpText('after', HELP)
    .action(init)
}

async function init(given: readonly string[], { output, force }: Options): Promise<void> {
  const urls = [...new Set(given.map(addressOf))]
  if (urls.length > MAX_SERVERS)
    throw new UserError(
      `at most ${MAX_SERVERS} servers: let further ones register, or keep them in a file (discovery)`,
    )
  const servers = await Promise.all(urls.map(detect))
  const text = checked(writeSettings(servers), output)
  for (const server of servers) process.stderr.write(`infergate: ${sentence(server)}\n`)
  if (output === STANDARD_OUTPUT) {
    process.stdout.write(text)
    return
  }
  await write(output, text, force ?? false)
  process.stderr.write(
    `infergate: wrote ${output}; infergate check ${output} shows all settings, infergate serve --config ${output} runs them\n`,
  )
}

function addressOf(text: string): string {
  const url = URL.parse(text)
  if (
    !url ||
    !/^(https?|grpcs?):$/.test(url.protocol) ||
    url.search ||
    url.hash ||
    url.username ||
    url.hostname === ''
  )
    throw new UserError(
      `"${text}" is no address of a server: write a URL like http://127.0.0.1:8501 or grpc://127.0.0.1:8001`,
    )
  return text.replace(/\/+$/, '')
}

/** What was found may not fit, such as a name that no setting takes; the file would then be refused later. */
function checked(text: string, file: string): string {
  const loaded = parseSettings(text, file)
  if ('settings' in loaded) return text
  throw new UserError(
    `these servers do not fit into settings: ${loaded.problems.map(formatProblem).join('\n')}`,
  )
}

function sentence({ url, dialects, models, trouble }: FoundServer): string {
  if (trouble !== undefined) return `${url} did not answer: ${trouble}`
  if (dialects.length === 0)
    return `${url} answers, and speaks no dialect that is known here: its calls pass through`
  return `${url} speaks ${dialects.join(' and ')}, with ${models.length === 0 ? 'no list of models' : `${models.length} ${models.length === 1 ? 'model' : 'models'}`}`
}

async function write(file: string, text: string, isForced: boolean): Promise<void> {
  try {
    await writeFile(file, text, { flag: isForced ? 'w' : 'wx' })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'EEXIST')
      throw new UserError(`${file} is there already: --force replaces it, --output writes another`)
    throw new UserError(`${file} cannot be written: ${message}`, { cause: error })
  }
}
