import kube_api


def test_a_service_account_has_exactly_the_rights_that_it_was_given(kube: kube_api.KubeApi) -> None:
    kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody", "namespace": "default"}})
    token = kube.service_account_token("default", "nobody")
    assert kube.request("GET", "/apis/rivulet.dev/v1alpha1/streams").status == 200
    assert kube.request("GET", "/apis/rivulet.dev/v1alpha1/streams", token=token).status == 403
