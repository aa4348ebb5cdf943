/** What a hook returns, with its payload: `return deny('42501', 'not this table')`. */
import { Bytes } from './bytes'
import { CLOSE, DENY, output, outputAt, outputText, REPLACE, RESPOND, ROUTE } from './host'
import { Json } from './json'
import { lengthOf, ptrOf, Slice } from './slice'
import { MessageWriter } from './postgres/writer'

const json = new Json()

/** Refuses what the client wants: an SQLSTATE and what people read. "" leaves a field out. */
export function deny(code: string, message: string, detail: string = '', hint: string = ''): i32 {
  json.clear().object().key('code').text(code).key('message').text(message)
  if (detail.length > 0) json.key('detail').text(detail)
  if (hint.length > 0) json.key('hint').text(hint)
  output(json.endObject().bytes)
  return DENY
}

/**
 * A refusal whose texts are made in the hook, without allocating texts:
 * `refusal.begin('53400').message.text('wait ').number(3)`, then `return refusal.send()`.
 */
@final
export class Refusal {
  readonly message: Bytes = new Bytes()
  readonly detail: Bytes = new Bytes()
  readonly hint: Bytes = new Bytes()
  private code: string = '42501'

  begin(code: string): this {
    this.code = code
    this.message.clear()
    this.detail.clear()
    this.hint.clear()
    return this
  }

  send(): i32 {
    json.clear().object().key('code').text(this.code).key('message').string(this.message.slice)
    if (this.detail.length > 0) json.key('detail').string(this.detail.slice)
    if (this.hint.length > 0) json.key('hint').string(this.hint.slice)
    output(json.endObject().bytes)
    return DENY
  }
}

/** Other bytes take the place of the input. */
export function replaceWith(bytes: Slice): i32 {
  outputAt(ptrOf(bytes), lengthOf(bytes))
  return REPLACE
}

/** The client gets these bytes and the server nothing. */
export function respondWith(bytes: Slice): i32 {
  outputAt(ptrOf(bytes), lengthOf(bytes))
  return RESPOND
}

/** Ends the connection; the messages, if any, are the last that the client gets. */
export function closeWith(messages: MessageWriter | null = null): i32 {
  if (messages != null) output(messages.bytes)
  return CLOSE
}

/** Sends the connection to a block of the server group. */
export function routeTo(block: string): i32 {
  outputText(block)
  return ROUTE
}
