/** What a data plane learns about models from their answers: whether they may be split, and which request forms servers take. */
import type { Call, RawPairs } from '../../core/call.ts'
import { printable } from '../../core/key.ts'
import type { Log } from '../../core/log.ts'
import type { Observer } from '../../core/observer.ts'
import type { Clock } from '../../lib/clock.ts'
import { Forms, type ShownForm } from '../key/forms.ts'
import { createModelNames } from '../key/model-names.ts'
import type { Matched } from '../route/routes.ts'
import type { Dispatch } from '../upstream/upstream-call.ts'
import { createSendRows } from './row-request.ts'
import { createShadow } from './shadow.ts'
import { type Finding, Splitter } from './splitter.ts'
import { createSplitting, type Splitting } from './splitting.ts'

export interface RowsParts {
  readonly dispatch: Dispatch
  readonly outgoing: (call: Call) => RawPairs
  /** The token of the deployment that answers. */
  readonly token: (matched: Matched) => string
  /** Whether calls wait in the admission queue of a pool. */
  readonly queueing: (pool: string) => boolean
  readonly observer: Observer
  readonly log: Log
  readonly clock: Clock
  readonly random: () => number
  /** Called when a question kind is proved, refused or suspended. */
  readonly split: ((found: Finding) => void) | undefined
  /** Called when a server has shown a form. */
  readonly formShown: ((shown: ShownForm) => void) | undefined
}

export interface ModelTraits {
  readonly splitter: Splitter
  readonly splitting: Splitting
  readonly forms: Forms
}

export function createModelTraits(parts: RowsParts): ModelTraits {
  const { dispatch, outgoing, token, queueing, clock, random } = parts
  const splitter = newSplitter(parts)
  const shadow = createShadow({
    splitter,
    random,
    clock,
    sendRows: createSendRows(dispatch, outgoing),
    queueing,
  })
  const names = createModelNames(token)
  const forms = new Forms({ names, learnt: parts.formShown })
  return { splitter, splitting: createSplitting({ splitter, shadow, names }), forms }
}

function newSplitter({ clock, random, log, observer, split }: RowsParts): Splitter {
  return new Splitter({
    clock,
    random,
    changed: (found, reason) => {
      const { model, kind, state, agreements } = found
      split?.(found)
      observer.splitting(model.slice(0, model.lastIndexOf('@')), state)
      const of = { model, ...(kind === undefined ? {} : { kind: printable(kind).slice(0, 12) }) }
      log[state === 'proved' ? 'info' : 'warn']('rows.changed', { ...of, state, agreements, reason })
    },
  })
}
