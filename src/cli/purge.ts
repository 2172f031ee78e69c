/** `infergate purge`: makes cached answers unreachable, in every tier and on every gateway that shares them. */
import { Command } from 'commander'
import {
  type AdminClientOptions,
  AdminError,
  createAdminClient,
  reportingErrors,
  withAdminOptions,
} from './admin-client.ts'
import { readPurge } from './answers.ts'

interface PurgeOptions extends AdminClientOptions {
  readonly model?: string
  readonly version?: string
  readonly route?: string
  readonly tag?: readonly string[]
  readonly key?: string
  readonly all?: boolean
}

const EXAMPLES = `
Everything that fits any of what is given. Entries are not deleted one by one: they become unreachable at once and
leave the tiers with their TTL.

Examples:
  infergate purge --model ranker                 every answer of a model
  infergate purge --model ranker --version 3     of calls that name this version, or none
  infergate purge --tag eu --tag uk              what routes with either tag stored
  infergate purge --key GdX...                   one answer; "infergate explain" names its key
  infergate purge --all`

/** The command, for the program to mount. */
export function purgeCommand(): Command {
  const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value]
  return withAdminOptions(new Command('purge'))
    .description('make cached answers unreachable')
    .option('--model <name>', 'answers of this model')
    .option(
      '--version <version>',
      'of this version of the model, and those that may be: of calls that name none',
    )
    .option('--route <name>', 'answers of this route')
    .option('--tag <tag>', 'answers with this tag; may be given again', collect)
    .option('--key <key>', 'the one answer with this key')
    .option('--all', 'everything')
    .addHelpText('after', EXAMPLES)
    .action((options: PurgeOptions) =>
      reportingErrors(async () => {
        const body = selectionOf(options)
        const client = await createAdminClient(options)
        const answer = await client.send('POST', '/api/v1/cache/purge', readPurge, body)
        process.stdout.write(`${JSON.stringify(answer, null, 2)}\n`)
        for (const name of answer.unknown ?? [])
          process.stderr.write(
            `infergate: nothing here is known as ${name.replace(':', ' ')}; it was purged all the same\n`,
          )
        if (answer.known === false)
          process.stderr.write(
            `infergate: "${options.key}" is no key: "infergate explain" prints that of a request\n`,
          )
      }),
    )
}

function selectionOf({ model, version, route, tag, key, all }: PurgeOptions): Record<string, unknown> {
  const selection = {
    ...(model === undefined ? {} : { model }),
    ...(version === undefined ? {} : { version }),
    ...(route === undefined ? {} : { route }),
    ...(tag === undefined ? {} : { tags: tag }),
    ...(key === undefined ? {} : { key }),
  }
  if (all && Object.keys(selection).length > 0)
    throw new AdminError('--all stands alone: leave the others out')
  if (all) return { all: true }
  if (Object.keys(selection).length === 0) {
    throw new AdminError('say what to purge: --model, --route, --tag, --key, or --all for everything')
  }
  return selection
}
