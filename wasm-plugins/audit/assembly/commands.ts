/** The words of commands other than queries that lead to tables or to another statement. */
import { advance, Expected, frame, joins, lists, Now, starts } from './frames'
import { word } from './scanner'
import { Word } from './words'

/** Words that matter in commands other than queries; true where it has read on by itself. */
export function readCommand(at: i32, verb: Word): bool {
  if (announcesVerb(verb)) {
    starts[at] = true
    advance()
    return true
  }
  switch (word) {
    case Word.Table:
    case Word.View:
      readObject(at, verb)
      break
    case Word.Index:
      Now.onNames = verb == Word.Create
      break
    case Word.Trigger:
    case Word.Policy:
      Now.onNames = verb == Word.Create || verb == Word.Drop || verb == Word.Alter
      break
    case Word.Rule:
      Now.onNames = verb == Word.Drop || verb == Word.Alter
      Now.toNames = verb == Word.Create
      break
    case Word.On:
      return readOn(at, verb)
    case Word.To:
      lists[at] = Expected.Nothing
      if (Now.toNames) Now.expected = Expected.Object
      Now.toNames = false
      break
    case Word.For:
      lists[at] = Expected.Nothing
      break
    case Word.References:
      if (Now.kind == Word.Create || Now.kind == Word.Alter) Now.expected = Expected.Object
      break
    default:
  }
  return false
}

/** True where another statement follows, as in CREATE … AS, PREPARE … AS, DECLARE … FOR, DO. */
export function announcesVerb(verb: Word): bool {
  switch (word) {
    case Word.As:
      return Now.depth == 0 && (Now.kind == Word.Create || Now.kind == Word.Prepare)
    case Word.For:
      return Now.depth == 0 && verb == Word.Declare
    case Word.Do:
    case Word.Also:
    case Word.Instead:
      return Now.kind == Word.Create
    case Word.Atomic:
      if (Now.kind != Word.Create || Now.previous != Word.Begin) return false
      Now.atomic = 1
      return true
    default:
      return false
  }
}

/** TABLE or VIEW within a command: its name follows. */
export function readObject(at: i32, verb: Word): void {
  switch (verb) {
    case Word.Drop:
      lists[at] = Expected.Object
    // falls through
    case Word.Create:
    case Word.Alter:
    case Word.Comment:
    case Word.Reindex:
    case Word.Refresh:
    case Word.Insert:
      Now.expected = Expected.Object
  }
}

export function readOn(at: i32, verb: Word): bool {
  if (joins[at]) {
    joins[at] = false
    return false
  }
  if (Now.onNames) Now.expected = Expected.Object
  Now.onNames = false
  if (verb != Word.Grant && verb != Word.Revoke) return false
  advance()
  switch (word) {
    case Word.All:
    case Word.Schema:
    case Word.Function:
    case Word.Procedure:
    case Word.Routine:
    case Word.Sequence:
    case Word.Database:
    case Word.Language:
    case Word.Type:
    case Word.Domain:
    case Word.Foreign:
    case Word.Tablespace:
    case Word.Large:
    case Word.Parameter:
      return true
    default:
      Now.expected = Expected.Object
      lists[at] = Expected.Object
      return true
  }
}

/** CASE and END within a function's body; true where it has read on by itself. */
export function readAtomic(): bool {
  if (word == Word.Case) Now.atomic++
  else if (word == Word.End) {
    Now.atomic--
    starts[frame()] = false
    advance()
    return true
  }
  return false
}
