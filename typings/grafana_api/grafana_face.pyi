from grafana_api.grafana_api import GrafanaAPI

class GrafanaFace:
    api: GrafanaAPI
    def __init__(
        self,
        auth: str | tuple[str, str],
        host: str = ...,
        port: int | None = ...,
        url_path_prefix: str = ...,
        protocol: str = ...,
        verify: bool | str = ...,
        timeout: float = ...,
    ) -> None: ...
