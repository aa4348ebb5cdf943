/** What is told of as the kind where there is no statement. */
import { Bytes } from '../../sdk/assembly/bytes'
import { Slice } from '../../sdk/assembly/slice'

function bytesOf(text: string): Slice {
  return new Bytes().text(text).slice
}

/** A message whose statements are not told apart. */
export const TEXT: Slice = bytesOf('TEXT')
/** A function called by its number. */
export const CALL: Slice = bytesOf('FUNCTION_CALL')
/** The message by which a session begins. */
export const STARTUP: Slice = bytesOf('STARTUP')
