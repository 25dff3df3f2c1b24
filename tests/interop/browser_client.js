// A publisher for browsers that may choose more than the project's own page does: its codec, stereo, layers. Evaluated in a page
// of the CDN's origin; `window.interop` is what tests read.
async (endpoint, token, { codec, stereo = false, simulcast = false }) => {
  const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 360 } });
  const connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  const sendEncodings = simulcast
    ? [{ rid: "q", scaleResolutionDownBy: 4 }, { rid: "h", scaleResolutionDownBy: 2 }, { rid: "f" }]
    : [{}];
  for (const track of media.getTracks()) {
    const layers = track.kind === "video" ? { sendEncodings } : {};
    const transceiver = connection.addTransceiver(track, { direction: "sendonly", streams: [media], ...layers });
    if (track.kind === "video" && codec) {
      const all = RTCRtpSender.getCapabilities("video").codecs;
      const chosen = all.filter(({ mimeType }) => mimeType.toLowerCase() === `video/${codec}`);
      if (chosen.length === 0) { connection.close(); return null; }
      const repair = all.filter(({ mimeType }) => mimeType.toLowerCase() === "video/rtx");
      transceiver.setCodecPreferences([...chosen, ...repair]);
    }
  }
  const offer = await connection.createOffer();
  if (stereo) offer.sdp = offer.sdp.replaceAll("useinbandfec=1", "useinbandfec=1;stereo=1;sprop-stereo=1");
  await connection.setLocalDescription(offer);
  await new Promise((done) => {
    if (connection.iceGatheringState === "complete") done();
    connection.onicegatheringstatechange = () => connection.iceGatheringState === "complete" && done();
    setTimeout(done, 3000);
  });
  const posted = performance.now();
  const headers = { "Content-Type": "application/sdp", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const body = connection.localDescription.sdp;
  const response = await fetch(endpoint, { method: "POST", headers, body });
  const answer = await response.text();
  if (response.status !== 201) throw new Error(`${response.status}: ${answer}; the offer was ${body}`);
  const answered = performance.now();
  const session = new URL(response.headers.get("Location"), response.url).href;
  const connected = new Promise((done, failed) => {
    connection.onconnectionstatechange = () => {
      if (connection.connectionState === "connected") done(performance.now());
      if (connection.connectionState === "failed") failed(new Error(`the connection failed; ${body.match(/a=candidate.*/g)} ${answer.match(/a=candidate.*/g)}`));
    };
    setTimeout(() => failed(new Error(`not connected in time: ${connection.connectionState}`)), 15000);
  });
  await connection.setRemoteDescription({ type: "answer", sdp: answer });
  const at = await connected;
  window.interop = { connection, media, session, headers, offer: body, answer };
  window.interop.sent = async () => {
    const entries = [...(await connection.getStats()).values()].filter(({ type }) => type === "outbound-rtp");
    return entries.map(({ kind, rid, framesEncoded, packetsSent }) => ({ kind, rid, framesEncoded, packetsSent }));
  };
  window.interop.stop = async () => {
    const ended = await fetch(session, { method: "DELETE", headers });
    connection.close();
    for (const track of media.getTracks()) track.stop();
    return ended.status;
  };
  return { answer_ms: answered - posted, connect_ms: at - answered, offer: body, answer };
}
