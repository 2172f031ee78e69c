/** A call as one who waits for a flight. */
import type { Waiter } from '../flight/flights.ts'
import type { FormPreference } from '../key/forms.ts'
import type { LookupContext } from '../rows/lookup-context.ts'

export function waiterOf(context: LookupContext): Waiter {
  const { deadline, share } = context.call
  return { deadline, group: groupOf(context), share }
}

/** Calls in forms that the server was seen to take join each other; a call in another form joins only calls in the same form. */
function groupOf({ form, isShown }: FormPreference): number {
  return isShown ? 0 : form
}
