// What a page of this machine says to be let in, and why it is not.

// The token comes behind #, which is sent to nobody; it is taken out of the address so that nobody copies it along.
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  sessionStorage.setItem("presage-token", given);
  history.replaceState(null, "", location.pathname);
}
export const token = () => encodeURIComponent(sessionStorage.getItem("presage-token") ?? "");

// Why the server lets nobody in without another token; null where it would, or is not there.
export async function refusal() {
  try {
    const answer = await fetch(`/ready?token=${token()}`);
    return answer.status === 401 || answer.status === 403 ? await answer.text() : null;
  } catch {
    return null;
  }
}
